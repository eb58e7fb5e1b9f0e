"""Published networks at any width, with the strides that images of their size need.

A width multiplier is one rule for all families: every layer's output channels times it, rounded to multiples of 8
(`make_divisible`); so are the other channels that a layer derives from them.

Departure: several papers leave stem or head at their width below 1, which serves 1000 classes of 224 pixels and would
be most of a small network; here they follow, and the blocks get what is saved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.geometry import geometry_of, is_tiny
from search_spaces.resolution import Resolution

NARROWEST, WIDEST, STEP = 0.1, 4.0, 1.06
WIDTHS = tuple(dict.fromkeys(float(f"{NARROWEST * STEP**i:.3g}") for i in range(64) if NARROWEST * STEP**i <= WIDEST))
HALVINGS = {"paper": 5, "small": 4, "tiny": 3}  # of the map, at most, by the size of the images


def widened(arch: Arch, width: float) -> Arch:
    """`arch` with `width` times the channels of every layer but the classifier; itself where `width` is 1."""
    check_multipliers(width=width)
    if width == 1:
        return arch
    stages = tuple(tuple(_widened(layer, width) for layer in stage) for stage in arch.stages)
    return dataclasses.replace(arch, stages=stages)


def _widened(layer: Layer, width: float) -> Layer:
    if "out_channels" not in layer.widths:
        return layer
    block: Any = layer
    return dataclasses.replace(block, out_channels=make_divisible(block.out_channels * width))


def fitted(arch: Arch, resolution: Resolution, num_classes: int, in_channels: int) -> Arch:
    """`arch` for images of `resolution` with `in_channels`, of `num_classes`, at the strides these need.

    Of images below 65 pixels the map is halved four times at most, three times below 24 pixels (`HALVINGS`): the first
    layer keeps its stride, and the layers behind it lose theirs, the earliest first. As published, five halvings leave
    a map of one pixel of them; the small geometry of the searched spaces drops the first two instead, and leaves more
    positions and fewer channels (MobileNetV2 of 4 million multiply-adds at 28 pixels, six epochs on 6,000 images of
    Fashion-MNIST, one seed: 80.2% so, 81.9% as here).
    """
    fit = dataclasses.replace(arch, resolution=resolution, in_channels=in_channels).with_classes(num_classes)
    geometry = geometry_of(resolution, "auto", "reference")
    most = HALVINGS["tiny" if geometry == "small" and is_tiny(resolution) else geometry]
    strided = [i for i, layer in enumerate(fit.layers) if getattr(layer, "stride", 1) > 1]
    if len(strided) <= most:
        return fit
    flat = set(strided[1 : 1 + len(strided) - most])
    numbers = iter(range(len(fit.layers)))
    stages = tuple(tuple(_flat(layer) if next(numbers) in flat else layer for layer in stage) for stage in fit.stages)
    return dataclasses.replace(fit, stages=stages)


def _flat(layer: Layer) -> Layer:
    block: Any = layer
    return dataclasses.replace(block, stride=1)


def ladder(arch: Arch) -> Iterator[tuple[float, Arch]]:
    """`arch` at each of `WIDTHS` that gives another network than the one before, narrow to wide."""
    before = None
    for width in WIDTHS:
        found = widened(arch, width)
        if found != before:
            yield width, found
        before = found
