"""Runtimes in another interpreter of this machine: a small worker process loads graphs there and times them."""
