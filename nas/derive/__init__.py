"""Final networks from a finished search, within the budget when measured."""
