"""Networks that hold a whole search space, and the loops that train them; see README.md."""
