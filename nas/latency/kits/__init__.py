"""Kits: measuring on a device that has no torch, or that is not here. A folder of graphs, a script, and its results."""
