"""Where the names of dots have room on a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Named(NamedTuple):
    """A dot at (x, y) in pixels and its name, '' where it has none; `mark` goes with the name."""

    name: str
    x: float
    y: float
    mark: str = ""


CHARACTER, LINE = 6.6, 13.0  # pixels of a name


def placed(
    dots: Sequence[Named], sides: tuple[float, float], line: float | None = None
) -> list[tuple[str, float, float, str, str]]:
    """The names that have room beside their dots: each with x, y, its anchor and mark.

    A name covers no dot, no other name and not the vertical `line`, and stays between the `sides`; one that has no room
    is left to the pointer.
    """
    taken = [(dot.x - 4, dot.x + 4, dot.y - 4, dot.y + 4) for dot in dots]
    if line is not None:
        taken.append((line - 1, line + 1, -math.inf, math.inf))
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


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes (left, right, top, bottom) share a point inside."""
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]
