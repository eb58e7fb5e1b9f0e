"""What the torch modules of blocks share."""
