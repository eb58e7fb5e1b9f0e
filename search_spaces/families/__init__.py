"""One module or folder per family: its search space, its published networks, its paper's table."""
