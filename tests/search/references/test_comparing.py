"""What the terminal says of references beside the found network, from `result.json`."""

from __future__ import annotations

from typing import Any

import pytest

from nas.search.references.comparing import headline, show_references

OWN = {"top1_percent": 87.5, "estimated_latency_ms": None, "measured_latency_ms": None}
REFERENCE = {
    "name": "plain",
    "multiplier": 0.769,
    "estimated_latency_ms": None,
    "measured_latency_ms": None,
    "top1_percent": 98.4,
    "difference_points": -10.9,
    "ahead": True,
}


def result(**changes: Any) -> dict[str, Any]:
    return {**OWN, "asked_latency_ms": None, "references": [REFERENCE], "references_left_out": {}, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "within the same budgets;"),
        ({"measured_latency_ms": 1.0}, "at no more latency than it takes;"),
        ({"measured_latency_ms": 1.0, "asked_latency_ms": 1.1}, "at no more latency than was asked;"),
    ],
)
def test_the_headline_claims_what_was_held_equal(changes: dict[str, Any], words: str) -> None:
    assert words in (headline(result(**changes)) or "")


def test_what_is_handed_over_is_not_shown_as_found(capsys: pytest.CaptureFixture[str]) -> None:
    handed = {"handed_over": "plain x0.769", "found": OWN, "top1_percent": 98.4}
    show_references(result(**handed))
    (row,) = [line for line in capsys.readouterr().out.splitlines() if " found " in line and "%" not in line]
    assert "87.50" in row and "98.4" not in row
    assert headline(result(**handed)) is None


def test_more_training_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """References are trained from scratch, so that a network which began with a supernet's weights has had more."""
    inherited = {"weights": "inherited from the supernet"}
    untrained = {**REFERENCE, "top1_percent": None, "difference_points": None, "ahead": False}
    for changes, is_said in (
        (inherited, True),
        ({"weights": "from scratch", "found": {**OWN, **inherited}, "handed_over": "plain x0.769"}, True),
        ({"weights": "from scratch"}, False),
        ({**inherited, "references": [untrained]}, False),
        ({"weights": None}, False),
    ):
        show_references(result(**changes))
        assert ("it has had more training than they" in capsys.readouterr().out) == is_said, changes
