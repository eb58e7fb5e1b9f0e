"""Where the names of dots have room on a chart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple


class Named(NamedTuple):
    """A dot at (x, y) in pixels and its name, '' where it has none; `mark` goes with the name."""

    name: str
    x: float
    y: float
    mark: str = ""


Box = tuple[float, float, float, float]  # left, right, top, bottom
Line = Sequence[tuple[float, float]]  # corners in pixels; a dot has one
CHARACTER, LINE = 6.6, 13.0  # pixels of a name
STEP = 6.0  # pixels between two places that are looked at


class Limit(NamedTuple):
    """A vertical line at `x` pixels and its words, which stand at (`words_x`, `y`) beside it and fill `box`."""

    words: str
    x: float
    words_x: float
    y: float
    anchor: str
    box: Box


def limit(words: str, x: float, dots: Sequence[Named], sides: tuple[float, float], ends: tuple[float, float]) -> Limit:
    """The vertical line at `x` with its `words` where they cover no dot, as near to its foot as there is room.

    `sides`, `ends`: left and right, top and bottom of the chart. On the roomier side of the line where both have room;
    where neither has, at the foot.
    """
    width, (top, foot), taken = CHARACTER * len(words), ends, _dots(dots)
    roomier = "end" if x > sum(sides) / 2 else "start"
    heights = [foot - 8 - LINE * step for step in range(max(int((foot - top) / LINE), 1))]
    found = []
    for y in heights:
        for anchor in (roomier, "start" if roomier == "end" else "end"):
            left = x + 6 if anchor == "start" else x - 6 - width
            box = (left, left + width, y - LINE + 3, y + 3)
            found.append(Limit(words, x, x + 6 if anchor == "start" else x - 6, y, anchor, box))
    inside = [one for one in found if sides[0] <= one.box[0] and one.box[1] <= sides[1]]
    return next((one for one in inside if not any(_overlap(one.box, other) for other in taken)), found[0])


def across(
    words: str, y: float, lines: Sequence[Line], sides: tuple[float, float], ends: tuple[float, float]
) -> tuple[float, float, str]:
    """Where the `words` of a horizontal line at `y` pixels cover none of the `lines`: x, y, anchor.

    `sides`, `ends`: left and right, top and bottom of the chart. Above it, at its right end, further left where that is
    taken, or below it; above its right end where all is taken.
    """
    width, taken = CHARACTER * len(words), _dots([Named("", *at) for line in lines for at in _along(line)])
    steps = range(max(int((sides[1] - sides[0] - width) / STEP), 0) + 1)
    rights = [sides[1] - STEP * step for step in steps]
    for words_y in (y - 5, y + LINE):
        for right in rights:
            box = (right - width, right, words_y - LINE + 3, words_y + 3)
            if ends[0] <= box[2] and box[3] <= ends[1] and not any(_overlap(box, other) for other in taken):
                return right, words_y, "end"
    return sides[1], y - 5, "end"


def _along(line: Line) -> list[tuple[float, float]]:
    """Points of a line through these corners, `STEP` pixels from one another at most."""
    found = list(line[:1])
    for (x, y), (to_x, to_y) in itertools.pairwise(line):
        count = max(math.ceil(math.hypot(to_x - x, to_y - y) / STEP), 1)
        found += [(x + (to_x - x) * i / count, y + (to_y - y) * i / count) for i in range(1, count + 1)]
    return found


def placed(
    dots: Sequence[Named], sides: tuple[float, float], line: Limit | None = None
) -> list[tuple[str, float, float, str, str]]:
    """The names that have room beside their dots: each with x, y, its anchor and mark.

    A name covers no dot, no other name and neither the `line` nor its words, and stays between the `sides`; one that
    has no room is left to the pointer.
    """
    taken = _dots(dots)
    if line is not None:
        taken += [(line.x - 1, line.x + 1, -math.inf, math.inf), line.box]
    found = []
    for dot in dots:
        width = CHARACTER * len(dot.name)
        for x, y, anchor, left in (
            (dot.x + 7, dot.y + 4, "start", dot.x + 7),
            (dot.x - 7, dot.y + 4, "end", dot.x - 7 - width),
            (dot.x, dot.y - 8, "middle", dot.x - width / 2),
            (dot.x, dot.y + 17, "middle", dot.x - width / 2),
        ):
            box = (left, left + width, y - LINE + 3, y + 3)
            inside = sides[0] <= left and left + width <= sides[1] and box[2] >= 0
            if dot.name and inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found.append((dot.name, x, y, anchor, dot.mark))
                break
    return found


def _dots(dots: Sequence[Named]) -> list[Box]:
    return [(dot.x - 4, dot.x + 4, dot.y - 4, dot.y + 4) for dot in dots]


def _overlap(one: Box, other: Box) -> bool:
    """Whether two boxes (left, right, top, bottom) share a point inside."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
