"""The receipt shows every budget that was asked, not that on latency alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.handover import Derived
from nas.receipt import show
from search_spaces.fbnet import fbnet


def test_budgets_on_counts_stand_in_the_receipt(capsys: pytest.CaptureFixture[str]) -> None:
    space = fbnet(16, num_classes=10, in_channels=1, width=0.25)
    genotype = tuple(0 for _ in space.positions)
    found = dict.fromkeys(("asked_latency_ms", "trials", "validation_top1_percent", "top1_percent", "asked_params"))
    found |= {"estimated_latency_ms": 1.0, "measured_latency_ms": 1.1, "params": 5, "macs": 7, "search_seconds": 1.0}
    found |= {"asked_macs": 4_000_000, "method": "random"}
    show(Path("r"), space, Derived((genotype,), 1.0, 1.1, 1), [Path("r/arch.json")], found)
    shown = capsys.readouterr().out
    assert "at most 4,000,000" in shown and "parameters asked" not in shown
