"""Latencies predicted from few measurements."""
