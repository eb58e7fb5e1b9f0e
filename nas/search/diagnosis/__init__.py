"""Where a search's accuracy went: the levers of its space, by all candidates that it scored."""
