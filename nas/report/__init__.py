"""Pages that show a run, or the front of many."""
