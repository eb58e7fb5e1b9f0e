"""The receipt shows every budget that was asked, not that on latency alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.derive.within_budget import Derived, Timed
from nas.search.result import show
from search_spaces.families.fbnet import fbnet


@pytest.mark.parametrize("missed", [[], ["7 macs are above budget.macs=4"]])
def test_budgets_on_counts_stand_in_the_receipt(capsys: pytest.CaptureFixture[str], missed: list[str]) -> None:
    space = fbnet(16, num_classes=10, in_channels=1, width=0.25)
    genotype = tuple(0 for _ in space.positions)
    found = dict.fromkeys(("asked_latency_ms", "trials", "validation_top1_percent", "top1_percent", "asked_params"))
    found |= {"estimated_latency_ms": 1.0, "measured_latency_ms": 1.1, "params": 5, "macs": 7, "search_seconds": 1.0}
    found |= {"asked_macs": 4_000_000, "method": "random", "not_measured": None}
    show(Path("r"), space, Derived((Timed(genotype, 1.0, 1.1),), 1), [Path("r/arch.json")], found, missed)
    shown = capsys.readouterr().out
    assert "at most 4,000,000" in shown and "parameters asked" not in shown
    assert shown.startswith("BUDGET NOT MET: 7 macs are above budget.macs=4;") == bool(missed)  # before anything else
