"""Spaces and variables of the files that are damaged."""

from __future__ import annotations

from nas.latency.device import Device
from search_spaces.families.fbnet import fbnet
from search_spaces.space import Variable

FBNET = {"resolution": 16, "num_classes": 10, "in_channels": 1, "width": 0.25, "head_channels": 32}
FEW = {**FBNET, "candidates": ["k3_e1", "k5_e3", "skip"]}
SPACE = fbnet(16, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k5_e3", "skip"))
BOARD = Device(name="board")
VARIABLES = (Variable("kernel", (3, 5, 7), ordered=True), Variable("act", ("relu", "hswish")))
FIRST = tuple(0 for _ in SPACE.variables)
