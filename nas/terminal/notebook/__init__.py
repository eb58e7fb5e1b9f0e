"""What a notebook shows of an outcome."""
