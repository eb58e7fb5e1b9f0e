"""The command line: configuration, cards, help, error lines, progress."""
