"""Outcomes as a notebook shows them."""

from __future__ import annotations

from pathlib import Path

from nas.derive.request import DerivedNetworks
from nas.evaluate.run import EvaluateOutcome
from nas.search.result import SearchOutcome
from nas.terminal.notebook.outcome import as_html
from nas.train.run import TrainOutcome


def test_cells_are_escaped_and_rounded() -> None:
    page = as_html("<r>", [("a", 1.23456), ("<b>", None)], ("name", "value"))
    assert "&lt;r&gt;" in page and "<td>1.235</td>" in page and "<td>&lt;b&gt;</td><td>–</td>" in page
    assert "<th>name</th><th>value</th>" in page and "<thead>" not in as_html("r", [("a", 1)])


def test_derived_networks_show_what_is_known_of_them() -> None:
    records = ({"file": "arch.json", "params": 5, "measured_latency_ms": None}, {"file": "arch-2.json", "params": 7})
    page = DerivedNetworks(Path("out"), (), (), records, ())._repr_html_()
    assert "networks in out" in page and "<td>arch-2.json</td><td>7</td>" in page and "measured" not in page


def test_all_outcomes_have_one() -> None:
    assert all(hasattr(kind, "_repr_html_") for kind in (SearchOutcome, TrainOutcome, EvaluateOutcome, DerivedNetworks))
