"""Accuracy on held-out images and measured latency of one network."""
