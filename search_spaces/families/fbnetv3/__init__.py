"""FBNetV3: its published networks and its search space."""
