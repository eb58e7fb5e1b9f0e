"""The section of a run's page that says, choice by choice, what the search decided."""

from __future__ import annotations

from typing import Any

from nas.report.sections.decided import decided

from .pages import shown

THETA = {
    "positions": [
        {"name": "stage1.0", "labels": ["k3_e1", "<k5>", "skip"], "probabilities": [0.9, 0.06, 0.04]},
        {"name": "stage2.0", "labels": ["k3_e1", "<k5>", "skip"], "probabilities": [0.3, 0.45, 0.25]},
        {"name": "stage2.1", "labels": ["k3_e1", "<k5>", "skip"], "probabilities": [0.5, 0.3, 0.2]},
        {"name": "stage3.0", "labels": ["k3_e1"], "probabilities": [1.0]},
    ]
}


def result(**changes: Any) -> dict[str, Any]:
    return {
        "decided": False,
        "decided_by": "probabilities",
        "decided_at": 0.8,
        "mean_top_probability": 0.675,
        "mean_taken_probability": 0.6,
        "entropy": 0.6,
        "choices_to_decide": 2,
        "undecided_positions": ["stage2.0"],
        "search_epochs": 8,
        "search_epochs_allowed": 8,
        "genotype": [0, 0, 0, 0],
        **changes,
    }


def test_every_choice_is_decided_open_or_without_effect() -> None:
    page = shown(decided(result(), THETA))
    rows = [row for row in page.split("<tr>") if "stage" in row]
    assert [row.split("</td>")[0] for row in rows] == [f"<td>{p['name']}" for p in THETA["positions"]]
    first, second, third, fourth = rows
    assert "<td>decided</td>" in first and ">90%<" in first and ">6%<" in first
    assert "<td>open; taken: k3_e1, 30%</td>" in second and "<b>&lt;k5&gt;</b>" in second and ">0.97<" in second
    assert "<td>without effect</td>" in third
    assert "<td>decided</td>" in fourth and ">0.00<" in fourth
    assert "verdict poor" in page and "NO, its allowance of 8 epochs is spent" in page and "<k5>" not in page
    assert "verdict good" in shown(decided(result(decided=True), THETA))


def test_a_run_that_says_nothing_of_it_has_no_such_section() -> None:
    assert decided({"decided": None}, THETA) is decided({}, None) is decided(result(), None) is None
