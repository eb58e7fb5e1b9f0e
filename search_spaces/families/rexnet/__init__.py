"""ReXNet: its published networks and its search space."""
