"""One training from the inside: its objects and their checkpoint, and one epoch of steps."""
