"""Small charts as inline SVG text: no script, no network, colours from the page's style sheet.

Not matplotlib's SVG: its colours are fixed when it is drawn, and these follow the reader's light or dark style.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from nas.report import names
from nas.report.names import Named
from nas.report.parts import Chart

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 380, 220
SCATTER = (380, 300)
WIDE, TALL = 880, 360  # a chart that has the page to itself
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
HUES = 8  # colours in the style sheet; further groups take them again, as rings


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(multiple * power for multiple in (1, 2, 2.5, 5, 10) if multiple * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """`value` with four significant digits, without needless zeros."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    if abs(value) >= 10_000 or abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:.4g}"


def count(value: int) -> str:
    """`value` with three significant digits and a unit: 88, 18.4 k, 5.57 M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= 0.9995 * size:  # what rounds to 1000 takes the next unit
            return f"{value / size:.3g} {unit}"
    return str(value)


def axis_label(value: float) -> str:
    """`value` at a tick: `number`, or `count` from 10,000 on."""
    return count(round(value)) if value >= 10_000 else number(value)


class _Frame:
    """The plotting area: data to pixels, axes with ticks."""

    def __init__(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        size: tuple[int, int] = (WIDTH, HEIGHT),
        x_padding: float = 0.0,
        y_most: float = math.inf,
    ) -> None:
        """`y_most`: what no y can exceed, such as 100 percent; the axis ends there too."""
        self.width, self.height = size
        self.wide = self.width == WIDE
        self.bottom = self.height - BOTTOM - (12 if self.wide else 0)  # phones show the text of wide charts larger
        self.x_low, self.x_high = padded(xs, x_padding)
        self.y_low, high = padded(ys, 0.06)
        self.y_high = min(high, y_most)

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return LEFT + share * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return self.bottom - share * (self.bottom - TOP)

    def axes(self, x_label: str, whole_x: bool = False) -> str:
        parts = []
        for tick in ticks(self.y_low, self.y_high):
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{axis_label(tick)}</text>'
            )
        below = self.bottom + (20 if self.wide else 15)
        for tick in ticks(self.x_low, self.x_high, 8 if self.wide else 4):
            if whole_x and tick != round(tick):
                continue
            parts.append(
                f'<text class="tick" x="{self.x(tick):.1f}" y="{below}" text-anchor="middle">{axis_label(tick)}</text>'
            )
        middle = (LEFT + self.width - RIGHT) / 2
        parts.append(
            f'<text class="tick" x="{middle}" y="{self.height - 3}" text-anchor="middle">{escape(x_label)}</text>'
        )
        return "".join(parts)

    def dot(self, x: float, y: float, kind: str, radius: float, tip: str) -> str:
        """A point in data units that says `tip` under the pointer."""
        return (
            f'<circle class="{kind}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius}">'
            f"<title>{escape(tip)}</title></circle>"
        )

    def line(self, points: Points, kind: str) -> str:
        """A line through points in data units."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="{kind}" points="{path}"/>'

    def chart(self, parts: Sequence[str], title: str, legend: Sequence[tuple[str, str]], name: str = "") -> Chart:
        """What was drawn under its title; `legend`: class and label of each kind of point; `name`: of its file."""
        svg = figure(title, (self.width, self.height), "".join(parts), "wide" if self.wide else "plot", name)
        return Chart(title, svg, legend)


def figure(title: str, size: tuple[int, int], content: str, kind: str, name: str = "") -> Markup:
    """An SVG of `size`, described by its `title` for those who do not see it; words in `content` are escaped already.

    `name`: of its file; '': the title.
    """
    label = escape(title, quote=True)
    file = f' data-name="{name}"' if name else ""
    return Markup(
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {size[0]} {size[1]}" class="{kind}"{file}>{content}</svg>'
    )


def padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of `values`, wider by `share` of itself at either end."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low - share * (high - low), high + share * (high - low)


def line_chart(
    title: str,
    series: Sequence[tuple[str, Points]],
    x_label: str,
    reference: tuple[str, float] | None = None,
    loose: Collection[str] = (),
) -> Chart | None:
    """Lines over whole-numbered steps; `reference` is a named horizontal line. None without points.

    `loose`: the series whose points have nothing to do with those beside them: dots without a line.
    """
    series = [(label, points) for label, points in series if points]
    if not series:
        return None
    ys = [y for _, points in series for _, y in points] + ([reference[1]] if reference else [])
    frame = _Frame([x for _, points in series for x, _ in points], ys)
    parts = [frame.axes(x_label, whole_x=True)]
    if reference:
        y = frame.y(reference[1])
        parts.append(f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines = list[names.Line]()
        for label, points in series:
            corners = [(frame.x(step), frame.y(value)) for step, value in points]
            lines += [[corner] for corner in corners] if label in loose else [corners]
        sides, ends = (LEFT, WIDTH - RIGHT), (TOP, frame.bottom)
        words_x, words_y, anchor = names.across(reference[0], y, lines, sides, ends)
        at = f'x="{words_x:.1f}" y="{words_y:.1f}" text-anchor="{anchor}"'
        parts.append(f'<text class="note" {at}>{escape(reference[0])}</text>')
    for index, (label, points) in enumerate(series):
        if label not in loose:
            parts.append(frame.line(points, f"line s{index}"))
        for x, y in points if label in loose or len(points) <= 40 else points[-1:]:
            tip = f"{label}: {number(y)} at {x_label} {number(x)}"
            parts.append(frame.dot(x, y, f"dot s{index}", 2.6, tip))
    legend = [(f"s{i}", label) for i, (label, _) in enumerate(series)]
    return frame.chart(parts, title, legend if len(series) > 1 else [])


def scatter_chart(title: str, groups: Sequence[tuple[str, Points]], x_label: str, band: float) -> Chart | None:
    """Estimates (x) against measurements (y) of the same kind, with the diagonal and a band of +-`band` around it; None
    without points."""
    values = [value for _, points in groups for point in points for value in point]
    if not values:
        return None
    frame = _Frame(values, values, SCATTER, x_padding=0.06)
    low, high = frame.x_low, frame.x_high
    low = max(low, 0.0)

    def at(x: float, y: float) -> str:
        return f"{frame.x(x):.1f},{frame.y(min(max(y, frame.y_low), frame.y_high)):.1f}"

    top, bottom = 1 + band, 1 - band
    corners = [at(low, low * top), at(high / top, high), at(high, high), at(high, high * bottom), at(low, low * bottom)]
    parts = [
        f'<polygon class="band" points="{" ".join(corners)}"/>',
        frame.axes(x_label),
        f'<polyline class="reference" points="{at(low, low)} {at(high, high)}"/>',
    ]
    for index, (label, points) in enumerate(groups):
        for x, y in points:
            tip = f"{label}: estimated {number(x)} ms, measured {number(y)} ms ({100 * (y / x - 1):+.1f}%)"
            parts.append(frame.dot(x, y, f"point g{index}", 3.4, tip))
    return frame.chart(parts, title, [(f"g{i}", label) for i, (label, _) in enumerate(groups)])


class Group(NamedTuple):
    """Points of one colour called `label`. `names`: one for each point, or none. `joined`: a line joins those that no
    other of the group beats. `mark`: a class of their own, by which a style sheet finds them. `hue`: the number of
    their colour; None: their place in the chart."""

    label: str
    points: Points
    names: Sequence[str] = ()
    joined: bool = True
    mark: str = ""
    hue: int | None = None


def front_chart(
    title: str,
    groups: Sequence[Group],
    x_label: str,
    y_label: str,
    limit: tuple[str, float] | None = None,
    name: str = "",
) -> Chart | None:
    """Points to be cheap in x and high in y; `limit` is a named vertical line; `name`: of its file. None without
    points."""
    points = [point for group in groups for point in group.points]
    if not points:
        return None
    xs = [x for x, _ in points] + ([limit[1]] if limit else [])
    most = 100.0 if y_label.endswith("%") else math.inf
    frame = _Frame(xs, [y for _, y in points], size=(WIDE, TALL), x_padding=0.03, y_most=most)
    places, drawn = list[Named](), list[str]()
    hues = [_hue(index if group.hue is None else group.hue) for index, group in enumerate(groups)]
    for group, hue in zip(groups, hues, strict=True):
        if group.joined:
            drawn.append(frame.line(front(group.points), f"line {hue} {group.mark}".rstrip()))
        for (x, y), who in zip(group.points, group.names or [""] * len(group.points), strict=True):
            tip = f"{who or group.label}: {y_label} {number(y)} at {x_label} {number(x)}"
            drawn.append(frame.dot(x, y, f"dot {hue} {group.mark}".rstrip(), 4, tip))
            places.append(Named(who, frame.x(x), frame.y(y), group.mark))
    sides = (LEFT, frame.width - RIGHT)
    line = names.limit(limit[0], frame.x(limit[1]), places, sides, (TOP, frame.bottom)) if limit else None
    parts = [frame.axes(x_label)]
    if line:  # under the dots
        parts += [
            f'<line class="reference" x1="{line.x:.1f}" x2="{line.x:.1f}" y1="{TOP}" y2="{frame.bottom}"/>',
            f'<text class="note" x="{line.words_x:.1f}" y="{line.y:.1f}" text-anchor="{line.anchor}">'
            f"{escape(line.words)}</text>",
        ]
    parts += drawn + [
        f'<text class="name {mark}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(who)}</text>'
        for who, x, y, anchor, mark in names.placed(places, sides, line)
    ]
    return frame.chart(parts, title, [(hue, group.label) for hue, group in zip(hues, groups, strict=True)], name)


def _hue(index: int) -> str:
    """The classes that give group `index` a look no other of the first 2 * `HUES` groups has."""
    return f"s{index % HUES}" + (" ring" if index >= HUES else "")


def front(points: Points) -> list[tuple[float, float]]:
    """The points with a larger y than every point of smaller or equal x, by rising x."""
    kept: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept
