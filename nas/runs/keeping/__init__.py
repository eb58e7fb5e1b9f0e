"""Keeping the state of long loops: when and what, how a signal ends them, and what counts as their collapse."""
