"""What blocks share: checks of their values, and parts of their torch modules."""
