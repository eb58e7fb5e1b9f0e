"""Several processes at one piece of work: what they share of each step, and what one of them does alone."""
