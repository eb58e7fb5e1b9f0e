"""Networks as source text that needs torch alone."""
