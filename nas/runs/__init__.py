"""Run directories: what a command leaves behind, written whole, checked when it is read back."""
