"""EfficientNet-EdgeTPU (Gupta and Akin, 2019): EfficientNets for accelerators, with dense convolutions early on.

ReLU and no squeeze-and-excitation, which those devices run badly (arXiv 2003.02838).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, FusedBottleneck, InvertedResidual, Layer
from search_spaces.costs import make_divisible
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.rows import check_multipliers
from search_spaces.resolution import Resolution

STEM_CHANNELS = 32
FIRST_CHANNELS = 24
FIRST_EXPAND = 4.0
HEAD_CHANNELS = 1280
# The first block of each stage and how many there are; further ones have stride 1.
STAGES: tuple[tuple[Layer, int], ...] = (
    (FusedBottleneck(FIRST_CHANNELS, 3, 1, FIRST_EXPAND, residual=False), 1),
    (FusedBottleneck(32, 3, 2, 8.0), 2),
    (FusedBottleneck(48, 3, 2, 8.0), 4),
    (InvertedResidual(96, 5, 2, 8.0), 5),
    (InvertedResidual(144, 5, 1, 8.0), 4),
    (InvertedResidual(192, 5, 2, 8.0), 2),
)


def efficientnet_edge(
    width: float = 1.0, depth: float = 1.0, resolution: Resolution = 224, num_classes: int = 1000, in_channels: int = 3
) -> Arch:
    """EfficientNet-EdgeTPU with `width` times the channels and `depth` times the blocks per stage.

    Channels are rounded to multiples of 8 and never fall by more than a tenth, repeats are rounded up. The first block
    expands as if it read its own output channels, as the authors' code does. Raises `ValueError` for multipliers that
    are not positive.
    """
    check_multipliers(width=width, depth=depth)

    def scaled(channels: int) -> int:
        return make_divisible(channels * width)

    stem = scaled(STEM_CHANNELS)
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(stem, 3, 2),)]
    for row, repeats in STAGES:
        block: Any = row
        first = replace(block, out_channels=scaled(block.out_channels))
        rest = replace(first, stride=1)
        if len(stages) == 1:
            first = replace(first, expand_ratio=FIRST_EXPAND * scaled(FIRST_CHANNELS) / stem)
        stages.append((first, *[rest] * (math.ceil(repeats * depth) - 1)))
    stages.append((ConvBNAct(scaled(HEAD_CHANNELS)), Classifier(num_classes)))
    return Arch(resolution, tuple(stages), in_channels)


@dataclass(frozen=True)
class Published:
    """Multipliers and pixels of one published net."""

    width: float
    depth: float
    resolution: int


PUBLISHED: dict[str, Published] = {
    "efficientnet_es": Published(1.0, 1.0, 224),
    "efficientnet_em": Published(1.0, 1.1, 240),
    "efficientnet_el": Published(1.2, 1.4, 300),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return efficientnet_edge(form.width, form.depth, resolution or form.resolution, num_classes, in_channels)


FIGURES: dict[str, Figures] = {
    "efficientnet_es": Figures(78.092, 93.932, 224, TIMM),
    "efficientnet_em": Figures(79.264, 94.796, 240, TIMM),
}
FAMILY = Family(
    "EfficientNet-EdgeTPU",
    "Accelerator-aware Neural Network Design using AutoML",
    "2003.02838",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
