"""The two geometries that spaces come in: strides as published, and few strides for small images."""

from __future__ import annotations

from collections.abc import Sequence

GEOMETRIES = ("paper", "small")
SMALL_BELOW = 65  # pixels: "auto" takes the small geometry below this resolution
TINY_BELOW = 24  # pixels: below, some spaces halve their width or depth unless another is given


def geometry_of(resolution: int, geometry: str, family: str) -> str:
    """`paper` or `small`; `auto` chooses by resolution (pixels). Raises `ValueError` for another word."""
    if geometry == "auto":
        return "small" if resolution < SMALL_BELOW else "paper"
    if geometry not in GEOMETRIES:
        raise ValueError(f"unknown {family} geometry {geometry!r}; one of auto, {', '.join(GEOMETRIES)}")
    return geometry


def resolutions_of(resolution: int, resolutions: Sequence[int] | None) -> tuple[int, ...]:
    """The pixels to choose from: `resolutions`, or `resolution` alone. Raises `ValueError` where they are none."""
    found = (resolution,) if resolutions is None else tuple(resolutions)
    if not found:
        raise ValueError("resolutions must list at least one number of pixels; leave it null for the data's")
    return found
