"""The charts of a report: axes, numbers, looks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.report.bars import interval, ruler, share_bar
from nas.report.charts import (
    Group,
    axis_label,
    count,
    front,
    front_chart,
    line_chart,
    number,
    scatter_chart,
    ticks,
)
from nas.report.names import CHARACTER, LINE, Named, across, limit, placed

from .pages import shown


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
    page = shown(front_chart("x", [Group(name, [(1.0, 2.0), (2.0, 3.0)]) for name in names], "ms", "top-1 %"))
    keys = re.findall(r'class="key ([^"]+)"', page)
    assert len(set(keys)) == len(keys) == 12
    style = (Path(nas.__file__).parent / "report" / "run_page.css").read_text()
    assert all(f".{name} " in style or f".{name}:" in style for key in keys for name in key.split())


def test_charts_without_points() -> None:
    assert line_chart("x", [("a", [])], "epoch") is None
    assert scatter_chart("x", [("a", [])], "ms", 0.1) is None
    assert "polyline" in shown(line_chart("x", [("a", [(1, 2.0)])], "epoch"))
    assert "reach" not in ruler(None, [("measured", 1.0)])
    assert share_bar([("a", 0.25), ("b", 0.75)], 1).count("<rect") == 2


def test_a_front_keeps_what_nothing_beats() -> None:
    points = [(3.0, 5.0), (1.0, 2.0), (2.0, 2.0), (1.0, 1.0), (4.0, 4.0)]
    assert front(points) == [(1.0, 2.0), (3.0, 5.0)]


def test_marks_can_be_told_apart_in_a_wide_range() -> None:
    page = ruler((0.008, 31.0), [("asked", 0.16), ("estimated", 0.128), ("measured", 0.121)])
    asked, *_, measured = sorted((float(x) for x in re.findall(r'<circle[^>]* cx="([-\d.]+)"', page)), reverse=True)
    assert asked - measured > 20
    assert ruler((0.1, 0.3), [("asked", 0.16)]).count("0.3") > 0  # a range that is near is whole


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_is_drawn_crosses_a_name_of_the_ruler(seed: int) -> None:
    """Whatever is asked, estimated and measured: names end left of the leftmost mark, each in a row of its own."""
    rng = np.random.default_rng(seed)
    marks = list(zip(("asked", "estimated", "measured"), rng.uniform(1e-4, 5, 3).tolist(), strict=True))
    page = ruler((marks[0][1] / 3, marks[0][1] * 2), marks)
    texts = re.findall(r'<text class="label" x="(\d+)" y="(\d+)">([^<]+)</text>', page)
    assert [text.split()[0] for *_, text in texts] == ["asked", "estimated", "measured"]
    right = max(float(x) + 12 * len(text) for x, _, text in texts)  # pixels of a letter on phones
    drawn = [float(x) for x in re.findall(r'(?:x1|x2|cx)="([-\d.]+)"', page)]
    assert right <= min(drawn) and len({y for _, y, _ in texts}) == 3


@pytest.mark.parametrize("seed", range(5))
def test_names_of_dots_have_room(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dots = [Named(f"run/{'x' * rng.integers(1, 12)}", *rng.uniform(60, 800, 2).tolist()) for _ in range(40)]
    boxes = []
    line = limit("budget 1,000,000", 400.0, dots, (52, 868), (12, 800))
    for name, x, y, anchor, _ in placed(dots, (52, 868), line):
        width = CHARACTER * len(name)
        left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
        assert left >= 52 and left + width <= 868
        assert not left < 400 < left + width
        boxes.append((left, left + width, y - LINE + 3, y + 3))
    assert 10 < len(boxes) <= 40
    boxes.append(line.box)
    for i, a in enumerate(boxes):
        assert not any(a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3] for b in boxes[:i])
        assert not any(a[0] < dot.x < a[1] and a[2] < dot.y < a[3] for dot in dots)


def test_words_of_a_limit_move_away_from_dots() -> None:
    """To the other side of the line, then up; at its foot where there is no room at all."""
    sides, ends = (52.0, 868.0), (12.0, 300.0)
    assert limit("budget 5 ms", 600.0, [], sides, ends)[3:5] == (292.0, "end")
    beside = [Named("", 550.0, 290.0)]
    assert limit("budget 5 ms", 600.0, beside, sides, ends)[3:5] == (292.0, "start")
    both = [*beside, Named("", 650.0, 290.0)]
    assert limit("budget 5 ms", 600.0, both, sides, ends)[3:5] == (279.0, "end")
    assert limit("budget 5 ms", 840.0, both, sides, ends)[3:5] == (292.0, "end")  # the other side is too narrow
    everywhere = [Named("", float(x), float(y)) for x in range(400, 800, 6) for y in range(0, 310, 6)]
    assert limit("budget 5 ms", 600.0, everywhere, sides, ends)[3:5] == (292.0, "end")


def test_what_has_nothing_to_do_with_its_neighbours_is_dots() -> None:
    points = [(float(i), float(i % 7)) for i in range(60)]
    page = shown(line_chart("x", [("each", points), ("best", points)], "candidate", loose=("each",)))
    assert page.count("<polyline") == 1 and page.count('class="dot s0"') == 60 and page.count('class="dot s1"') == 1


def test_a_budget_is_a_line_across_the_chart() -> None:
    page = shown(
        front_chart("<x>", [Group("a", [(1.0, 50.0)], ["<a>"], joined=False)], "ms", "top-1 %", ("budget 2 ms", 2.0))
    )
    assert "budget 2 ms" in page and page.count('class="reference"') == 1 and "<polyline" not in page
    assert "&lt;a&gt;" in page and "<a>" not in page and "<x>" not in page
    assert 'class="sure"' in interval(2.0, 1.0, 3.0, 3.0) and 'class="unsure"' in interval(2.0, -1.0, 3.0, 3.0)


def test_no_axis_of_percent_goes_beyond_100() -> None:
    """A single network of 99.8% would else have half of its chart above what can be."""
    for found, beyond in (([(1.0, 99.8)], "110"), ([(1.0, 100.0)], "110"), ([(1.0, 97.0), (2.0, 99.9)], "100.5")):
        page = shown(front_chart("x", [Group("a", found)], "ms", "top-1 %"))
        assert f">{beyond}</text>" not in page and ">100</text>" in page
    assert ">110</text>" in shown(front_chart("x", [Group("a", [(1.0, 99.8)])], "ms", "images"))


def test_words_of_a_horizontal_line_move_away_from_lines() -> None:
    sides, ends = (52.0, 368.0), (12.0, 186.0)
    width = CHARACTER * len("decided")
    assert across("decided", 60.0, [], sides, ends) == (368.0, 55.0, "end")
    rising = [(52.0, 180.0), (210.0, 100.0), (290.0, 60.0), (368.0, 40.0)]  # through the words at the right end
    x, y, _ = across("decided", 60.0, [rising], sides, ends)
    assert (y == 55.0 and x < 290.0) or y == 60.0 + LINE
    level = [(52.0, 52.0), (368.0, 52.0)]  # along them: below the line
    assert across("decided", 60.0, [level], sides, ends) == (368.0, 60.0 + LINE, "end")
    assert (
        across("decided", 180.0, [[(52.0, 172.0), (368.0, 172.0)]], sides, ends)[1] == 175.0
    )  # no room below: as ever
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        line = list(zip(np.linspace(52, 368, 9).tolist(), rng.uniform(20, 180, 9).tolist(), strict=True))
        at = float(rng.uniform(40, 160))
        x, y, _ = across("decided", at, [line], sides, ends)
        assert sides[0] <= x - width and x <= sides[1]
        xs = np.linspace(x - width, x, 50)
        ys = np.interp(xs, *zip(*line, strict=True))
        covered += bool(((y - LINE + 3 < ys) & (ys < y + 3)).any())
    assert covered <= 10  # of lines that leave no room
