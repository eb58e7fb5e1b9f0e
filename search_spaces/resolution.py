"""Image sizes in pixels: one number where images are square, else height and width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from search_spaces.plain_data.annotations import Form

MOST = 2**16  # pixels of a side


class Size(NamedTuple):
    """Height and width of images, in pixels. Printed as `40x101`, written to files as `[40, 101]`."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


Resolution = int | Size
"""What is kept: a `Size` only where height and width differ, so that equal images have equal resolutions."""
Pixels = int | Annotated[Sequence[int], Form("[height, width]", 2)]
"""What cards and callers may give: a whole number (square images) or `[height, width]`."""


def canonical(value: Any, name: str = "resolution") -> Resolution:
    """The resolution that `value` means. Raises `ValueError`, naming what `name` must be, where it means none."""
    sides = tuple(value) if _is_pair(value) else (value, value)
    if not all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides):
        raise ValueError(f"{name} must be a whole number >= 1, or [height, width], in pixels; got {value!r}")
    if max(sides) > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {max(sides):.6g}")
    return sides[0] if sides[0] == sides[1] else Size(*sides)


def size(resolution: Pixels) -> Size:
    """Height and width of `resolution`."""
    return Size(resolution, resolution) if isinstance(resolution, int) else Size(*resolution)


def pixels(resolution: Pixels) -> int:
    """How many pixels an image has: what resolutions are ordered by."""
    height, width = size(resolution)
    return height * width


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 2
