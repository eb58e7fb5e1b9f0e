"""What others are told of a run while it works."""
