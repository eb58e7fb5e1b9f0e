"""Latency tables, their calibration and their proof."""
