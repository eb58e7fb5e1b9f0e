"""Starting files: a space, method, device or data set of a user's own, which works as it is written."""
