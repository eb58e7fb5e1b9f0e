"""The two geometries that spaces come in: strides as published, and few strides for small images.

Images that are not square are as small as square ones of as many pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from search_spaces.resolution import Pixels, Resolution, canonical, pixels

Geometry = Literal["auto", "paper", "small"]
GEOMETRIES: tuple[Literal["paper"], Literal["small"]] = ("paper", "small")
SMALL_BELOW = 65  # pixels: "auto" takes the small geometry below this resolution
TINY_BELOW = 24  # pixels: below, some spaces halve their width or depth unless another is given


def is_tiny(resolution: Pixels) -> bool:
    """Whether images of `resolution` have fewer pixels than those of `TINY_BELOW`."""
    return pixels(canonical(resolution)) < pixels(TINY_BELOW)


def geometry_of(resolution: Pixels, geometry: str, family: str) -> Literal["paper", "small"]:
    """`paper` or `small`; `auto` chooses by resolution. Raises `ValueError` for another word."""
    if geometry == "auto":
        return "small" if pixels(canonical(resolution)) < pixels(SMALL_BELOW) else "paper"
    for known in GEOMETRIES:
        if geometry == known:
            return known
    raise ValueError(f"unknown {family} geometry {geometry!r}; one of auto, {', '.join(GEOMETRIES)}")


def resolutions_of(resolution: Pixels, resolutions: Sequence[Pixels] | None) -> tuple[Resolution, ...]:
    """The sizes to choose from: `resolutions`, or `resolution` alone. Raises `ValueError` where they are none."""
    if resolutions is None:
        return (canonical(resolution),)
    if not resolutions:
        raise ValueError("resolutions must list at least one number of pixels; leave it null for the data's")
    return tuple(canonical(each, "resolutions: each") for each in resolutions)
