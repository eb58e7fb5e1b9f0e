"""Small figures that are read along a line: milliseconds on one axis, shares of a whole, an interval beside zero."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from nas.report.charts import figure, number, padded, ticks

WIDTH, ROW = 760, 26
LABELS = 268  # pixels that are left to the names of marks, which phones show larger
FARTHEST = 4  # times the largest mark, where the bar of a wide range ends


def drawn_to(reach: tuple[float, float], marks: Sequence[float]) -> float:
    """Where the bar of a reachable range ends: with the range, unless that ends far above all `marks`."""
    return min(reach[1], FARTHEST * max([reach[0], *marks]))


def ruler(reach: tuple[float, float] | None, marks: Sequence[tuple[str, float]]) -> Markup:
    """Named milliseconds, a row for each, over one axis with the reachable range as a bar.

    Names stand left of all that is drawn, so that no line crosses one. The first mark is a limit: its line runs through
    all rows. A range far above all marks is cut at `FARTHEST` times the largest, so that they can be told apart.
    """
    if reach:
        reach = (reach[0], drawn_to(reach, [value for _, value in marks]))
    values = [value for _, value in marks] + list(reach or ())
    low, high = padded(values, 0.05)
    low = max(low, 0.0)
    base = 12 + ROW * len(marks)

    def x(value: float) -> float:
        return LABELS + 12 + (value - low) / (high - low) * (WIDTH - LABELS - 24)

    parts = [f'<line class="axis" x1="{LABELS}" x2="{WIDTH - 2}" y1="{base}" y2="{base}"/>']
    if reach:
        parts.append(
            f'<rect class="reach" x="{x(reach[0]):.1f}" y="{base - 4}" width="{x(reach[1]) - x(reach[0]):.1f}" '
            'height="8" rx="4"><title>reachable by networks of this space</title></rect>'
        )
    for tick in ticks(low, high, 5):
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{base + 20}" text-anchor="middle">{number(tick)}</text>')
    for index, (label, value) in enumerate(marks):
        y = 12 + ROW * index
        top = 4 if index == 0 else y
        parts.append(
            f'<line class="mark m{index}" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top}" y2="{base}"/>'
            f'<circle class="mark m{index}" cx="{x(value):.1f}" cy="{y}" r="4.5"/>'
            f'<text class="label" x="0" y="{y + 5}">{escape(label)} {number(value)} ms</text>'
        )
    title = ", ".join(f"{label} {number(value)} ms" for label, value in marks)
    return figure(title, (WIDTH, base + 28), "".join(parts), "ruler", "latency")


def share_bar(shares: Sequence[tuple[str, float]], chosen: int) -> Markup:
    """Probabilities of candidates as one bar of 100%, the chosen one in colour; each names itself under the pointer."""
    parts, start = [], 0.0
    for index, (label, share) in enumerate(shares):
        kind = "chosen" if index == chosen else "other"
        parts.append(
            f'<rect class="{kind}" x="{start:.2f}" y="0" width="{100 * share:.2f}" height="10">'
            f"<title>{escape(label)}: {100 * share:.1f}%</title></rect>"
        )
        start += 100 * share
    title = escape(f"{shares[chosen][0]}: {100 * shares[chosen][1]:.0f}%", quote=True)
    return Markup(
        f'<svg role="img" aria-label="{title}" class="share" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f"{''.join(parts)}</svg>"
    )


def interval(gain: float, low: float, high: float, reach: float) -> Markup:
    """A figure with its interval from `low` to `high` on a line from -`reach` to `reach`, beside a mark at zero."""

    def x(value: float) -> float:
        return 80 + 76 * max(-1.0, min(value / reach, 1.0)) if reach else 80.0

    kind = "sure" if low > 0 or high < 0 else "unsure"
    content = (
        '<line class="axis" x1="80" x2="80" y1="0" y2="18"/>'
        f'<line class="{kind}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="9" y2="9"/>'
        f'<circle class="{kind}" cx="{x(gain):.1f}" cy="9" r="4"/>'
    )
    return figure(f"{gain:+.2f}, from {low:+.2f} to {high:+.2f}", (160, 18), content, "interval")


def bar(share: float, kind: str = "") -> Markup:
    """`share` of a whole as a bar in a cell of a table; the figure stands beside it."""
    width = 100 * min(max(share, 0.0), 1.0)
    return Markup("<span class='bar {}' style='width:{:.1f}px'></span>").format(kind, width)
