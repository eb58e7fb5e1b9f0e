"""Timing layers and whole networks."""
