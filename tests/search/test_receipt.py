"""The receipt shows every budget that was asked, not that on latency alone, and whether the search decided."""

from __future__ import annotations

import numpy as np
import pytest

from nas.methods.base import SearchResult
from nas.report.sections.decided import sentence
from nas.search.ending import Ending
from nas.search.result import receipt
from tests.methods import gradient_task
from tests.methods.gradient_task import few_layers


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
    assert rows["latency asked"] == "–" and rows["latency measured"] == "1.1 ms"
    off = receipt(found | {"estimated_latency_ms": None, "measured_latency_ms": None}, missed)
    assert not any(name.startswith("latency") for name, _ in off)
    tied = found | {"trials": 12, "validation_top1_percent": 100.0, "equal_candidates": 11}
    assert dict(receipt(tied, missed))["validation accuracy"] == "100.00% top-1 in the search, as 11 others"
    trained = found | {"top1_percent": 90.0, "guessing_percent": 10.0, "data": "digits", "weights": "from scratch"}
    assert dict(receipt(trained | {"train_seconds": 21.2}, missed))["training took"] == "21 s"
    assert "training took" not in dict(receipt(trained | {"train_seconds": 0.0}, missed))


ENDED = {
    "decided": True,
    "decided_by": "probabilities",
    "decided_at": 0.8,
    "mean_top_probability": 0.8312,
    "mean_taken_probability": 0.7961,
    "entropy": 0.2049,
    "choices_to_decide": 22,
    "undecided_positions": ["stage1.0", "stage4.2"],
    "search_epochs": 6,
    "search_epochs_allowed": 8,
}


def test_the_receipt_says_whether_the_search_decided() -> None:
    assert sentence(ENDED) == (
        "yes, after 6 of 8 epochs: the likeliest choices have probability 0.83 on average (decided from 0.8 on), those "
        "taken 0.80; entropy 0.20 of 1; 2 of 22 left open"
    )
    spent = {**ENDED, "decided": False, "mean_top_probability": 0.31, "search_epochs": 8}
    assert sentence(spent).startswith(
        "NO, its allowance of 8 epochs is spent: the likeliest choices have probability 0.31"
    )
    assert sentence({**ENDED, "decided_by": "thresholds"}).startswith("yes, by thresholds")
    assert sentence({"decided": None}) == "" and sentence({}) == ""


def test_an_ending_counts_what_can_be_decided() -> None:
    space = few_layers(expansions=(3,))
    sizes = [len(variable) for variable in space.variables]
    rows = tuple(np.array([0.9, *[0.1 / (n - 1)] * (n - 1)]) for n in sizes)
    method = gradient_task.method("dnas", epochs=7)
    ending = Ending.of(space, method, SearchResult(rows, 1.0, epochs=4), "budget")
    taken = (1, *(0 for _ in sizes[1:]))
    found = ending.figures(taken)
    assert found["decided"] and found["undecided_positions"] == [] and found["choices_to_decide"] == len(sizes)
    assert found["mean_top_probability"] == pytest.approx(0.9)
    expected = (0.9 * (len(sizes) - 1) + 0.1 / (sizes[0] - 1)) / len(sizes)
    assert found["mean_taken_probability"] == pytest.approx(expected, abs=1e-6)
    assert (found["search_epochs"], found["search_epochs_allowed"]) == (4, 7)
    open_ = Ending.of(space, method, SearchResult(tuple(np.full(n, 1 / n) for n in sizes), 1.0), "budget")
    assert open_.figures(taken)["undecided_positions"] == [variable.name for variable in space.variables]
    assert not open_.figures(taken)["decided"] and open_.figures(taken)["search_epochs"] == 7
    assert open_.figures(taken)["entropy"] == pytest.approx(1)
    named = Ending.of(space, method, SearchResult(rows, 1.0), "thresholds").figures(taken)
    assert named["decided"] and named["decided_by"] == "thresholds"
