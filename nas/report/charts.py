"""Small charts as inline SVG text: no script, no network, colours from the page's style sheet.

Not matplotlib's SVG: its colours are fixed when it is drawn, and these follow the reader's light or dark style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 380, 220
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
        square: bool = False,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        x_padding: float = 0.0,
    ) -> None:
        self.width, self.height = (HEIGHT + LEFT, HEIGHT) if square else size
        self.wide = self.width == WIDE
        self.bottom = self.height - BOTTOM - (12 if self.wide else 0)  # phones show the text of wide charts larger
        if square:
            xs = ys = [*xs, *ys]
        self.x_low, self.x_high = _padded(xs, 0.06 if square else x_padding)
        self.y_low, self.y_high = _padded(ys, 0.06)

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

    def as_html(self, parts: Sequence[str], title: str, caption: str, legend: Sequence[tuple[str, str]]) -> str:
        """The whole figure; `legend`: class and label of each kind of point."""
        keys = "".join(f'<span class="key {kind}">{escape(label)}</span>' for kind, label in legend)
        return f"<figure><figcaption>{escape(caption)} {keys}</figcaption>{self.svg(''.join(parts), title)}</figure>"

    def svg(self, content: str, title: str) -> str:
        fit = 'class="wide"' if self.wide else f'style="max-width:{self.width}px"'
        return (
            f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {self.width} {self.height}" '
            f"{fit}>{content}</svg>"
        )


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low - share * (high - low), high + share * (high - low)


def line_chart(
    title: str, series: Sequence[tuple[str, Points]], x_label: str, reference: tuple[str, float] | None = None
) -> str:
    """Lines over whole-numbered steps; `reference` is a named horizontal line. An empty string without points."""
    series = [(label, points) for label, points in series if points]
    if not series:
        return ""
    ys = [y for _, points in series for _, y in points] + ([reference[1]] if reference else [])
    frame = _Frame([x for _, points in series for x, _ in points], ys)
    parts = [frame.axes(x_label, whole_x=True)]
    if reference:
        y = frame.y(reference[1])
        parts.append(f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="note" x="{WIDTH - RIGHT}" y="{y - 5:.1f}" text-anchor="end">{escape(reference[0])}</text>'
        )
    for index, (label, points) in enumerate(series):
        parts.append(frame.line(points, f"line s{index}"))
        for x, y in points if len(points) <= 40 else points[-1:]:
            tip = f"{label}: {number(y)} at {x_label} {number(x)}"
            parts.append(frame.dot(x, y, f"dot s{index}", 2.6, tip))
    legend = [(f"s{i}", label) for i, (label, _) in enumerate(series)]
    return frame.as_html(parts, title, title, legend if len(series) > 1 else [])


def scatter_chart(title: str, groups: Sequence[tuple[str, Points]], x_label: str, band: float) -> str:
    """Estimates (x) against measurements (y) of the same kind, with the diagonal and a band of +-`band` around it."""
    values = [value for _, points in groups for point in points for value in point]
    if not values:
        return ""
    frame = _Frame(values, values, square=True)
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
    return frame.as_html(parts, title, title, [(f"g{i}", label) for i, (label, _) in enumerate(groups)])


def front_chart(title: str, groups: Sequence[tuple[str, Points]], x_label: str, y_label: str) -> str:
    """Points to be cheap in x and high in y; of each group a line joins those that none of its others beats."""
    points = [point for _, group in groups for point in group]
    if not points:
        return ""
    frame = _Frame([x for x, _ in points], [y for _, y in points], size=(WIDE, TALL), x_padding=0.03)
    parts = [frame.axes(x_label)]
    for index, (label, group) in enumerate(groups):
        parts.append(frame.line(front(group), f"line {_hue(index)}"))
        for x, y in group:
            tip = f"{label}: {y_label} {number(y)} at {x_label} {number(x)}"
            parts.append(frame.dot(x, y, f"dot {_hue(index)}", 4, tip))
    return frame.as_html(parts, title, title, [(_hue(i), label) for i, (label, _) in enumerate(groups)])


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


def ruler(reach: tuple[float, float] | None, marks: Sequence[tuple[str, float]]) -> str:
    """Named milliseconds on one axis, with the reachable range as a bar. Labels never overlap: each has its own row."""
    width, row = 760, 24
    values = [value for _, value in marks] + list(reach or ())
    low, high = _padded(values, 0.05)
    low = max(low, 0.0)
    base = 16 + row * len(marks)

    def x(value: float) -> float:
        return 10 + (value - low) / (high - low) * (width - 20)

    parts = [f'<line class="axis" x1="10" x2="{width - 10}" y1="{base}" y2="{base}"/>']
    if reach:
        parts.append(
            f'<rect class="reach" x="{x(reach[0]):.1f}" y="{base - 4}" width="{x(reach[1]) - x(reach[0]):.1f}" '
            'height="8" rx="4"><title>reachable by networks of this space</title></rect>'
        )
    for tick in ticks(low, high, 8):
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{base + 20}" text-anchor="middle">{number(tick)}</text>')
    labels = []  # above all lines, so that none crosses a label
    for index, (label, value) in enumerate(marks):
        y = 16 + row * index
        left = x(value) > 0.6 * width  # phones show labels larger
        anchor, shift = ("end", -8) if left else ("start", 8)
        parts.append(f'<line class="mark m{index}" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y - 8}" y2="{base}"/>')
        parts.append(f'<circle class="mark m{index}" cx="{x(value):.1f}" cy="{base}" r="4.5"/>')
        labels.append(
            f'<text class="label m{index}" x="{x(value) + shift:.1f}" y="{y + 3}" text-anchor="{anchor}">'
            f"{escape(label)} {number(value)} ms</text>"
        )
    title = ", ".join(f"{label} {number(value)} ms" for label, value in marks)
    return (
        f'<svg role="img" aria-label="{escape(title, quote=True)}" viewBox="0 0 {width} {base + 28}" class="ruler">'
        f"{''.join(parts + labels)}</svg>"
    )


def share_bar(shares: Sequence[tuple[str, float]], chosen: int) -> str:
    """Probabilities of candidates as one bar of 100%, the chosen one in colour; each names itself under the pointer."""
    parts, start = [], 0.0
    for index, (label, share) in enumerate(shares):
        kind = "chosen" if index == chosen else "other"
        parts.append(
            f'<rect class="{kind}" x="{start:.2f}" y="0" width="{100 * share:.2f}" height="10">'
            f"<title>{escape(label)}: {100 * share:.1f}%</title></rect>"
        )
        start += 100 * share
    return f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none">{"".join(parts)}</svg>'
