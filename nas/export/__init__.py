"""A network as a file other runtimes load."""
