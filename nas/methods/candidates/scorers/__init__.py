"""Ways to score a candidate of a search, one a file."""
