"""What a network holds in memory: the operators of a block, the tensors alive at once, and bytes."""
