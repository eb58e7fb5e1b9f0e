"""The receipt shows every budget that was asked, not that on latency alone."""

from __future__ import annotations

import pytest

from nas.search.result import receipt


@pytest.mark.parametrize("missed", [[], ["7 macs are above budget.macs=4"]])
def test_budgets_on_counts_stand_in_the_receipt(missed: list[str]) -> None:
    found = dict.fromkeys(("asked_latency_ms", "trials", "validation_top1_percent", "top1_percent", "asked_params"))
    found |= {"estimated_latency_ms": 1.0, "measured_latency_ms": 1.1, "params": 5, "macs": 7, "search_seconds": 1.0}
    found |= {"asked_macs": 4_000_000, "method": "random", "not_measured": None, "counted": {"dtype": "int8"}}
    found |= {"memory_kib": 48.0, "weights_kib": 76.8984, "energy_mj": 0.5}
    found |= {"asked_memory_kib": 64, "asked_weights_kib": None, "asked_energy_mj": None}
    rows = dict(receipt(found | {"budget_met": not missed}, missed))
    assert rows["multiply-adds asked"] == "at most 4,000,000" and "parameters asked" not in rows
    assert rows["peak memory"] == "48 KiB of activations (int8)" and rows["weights"] == "76.9 KiB (int8)"
    assert rows["peak memory asked"] == "at most 64 KiB" and rows["energy"] == "0.5 mJ an image, by the table"
    assert rows["budget"] == ("MISSED" if missed else "met")
