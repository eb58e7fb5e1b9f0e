"""Devices measured: latency tables that prove themselves on whole networks."""
