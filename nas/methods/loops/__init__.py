"""The training loops of the methods that search by gradient."""
