"""The last step of a search: its most promising networks train against each other, in successive halving."""
