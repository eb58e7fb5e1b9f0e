"""The charts of a report: axes, numbers, looks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nas
from nas.report.charts import (
    axis_label,
    count,
    front,
    front_chart,
    line_chart,
    number,
    ruler,
    scatter_chart,
    share_bar,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1.0]), (0.3, 0.9, [0.4, 0.6, 0.8]), (5, 5, [5]), (-10, 10, [-10, -5, 0, 5, 10])],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_numbers() -> None:
    assert [number(v) for v in (0, 0.12345, 12.0, 1234.5, 1e-5, 123456.0)] == [
        "0", "0.1235", "12", "1234", "1e-05", "1.23e+05"
    ]  # fmt: skip


def test_axes_have_units_from_ten_thousand_on() -> None:
    assert [axis_label(v) for v in (0.25, 9_999, 10_000, 2_500_000)] == ["0.25", "9999", "10 k", "2.5 M"]


def test_counts_have_a_unit() -> None:
    values = (0, 88, 999, 18_432, 999_499, 999_999, 5_572_200, 1_269_900_000)
    assert [count(v) for v in values] == ["0", "88", "999", "18.4 k", "999 k", "1 M", "5.57 M", "1.27 G"]


def test_every_group_of_a_front_has_a_look_of_its_own() -> None:
    names = [f"method {i}" for i in range(12)]
    page = front_chart("x", [(name, [(1.0, 2.0), (2.0, 3.0)]) for name in names], "ms", "top-1 %")
    keys = re.findall(r'class="key ([^"]+)"', page)
    assert len(set(keys)) == len(keys) == 12
    style = (Path(nas.__file__).parent / "report" / "run_page.css").read_text()
    assert all(f".{name} " in style or f".{name}:" in style for key in keys for name in key.split())


def test_charts_without_points() -> None:
    assert line_chart("x", [("a", [])], "epoch") == ""
    assert scatter_chart("x", [("a", [])], "ms", 0.1) == ""
    assert "polyline" in line_chart("x", [("a", [(1, 2.0)])], "epoch")
    assert "reach" not in ruler(None, [("measured", 1.0)])
    assert share_bar([("a", 0.25), ("b", 0.75)], 1).count("<rect") == 2


def test_a_front_keeps_what_nothing_beats() -> None:
    points = [(3.0, 5.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0), (4.0, 4.0)]
    assert front(points) == [(1.0, 2.0), (3.0, 5.0)]
