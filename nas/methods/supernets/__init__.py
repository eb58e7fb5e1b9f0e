"""Networks that hold a whole search space, and what is expected of their paths; see README.md."""
