"""EfficientNet-EdgeTPU (Gupta and Akin, 2019): EfficientNets for accelerators, with dense convolutions early on.

ReLU and no squeeze-and-excitation, which those devices run badly (arXiv 2003.02838).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, FusedBottleneck, InvertedResidual, Layer
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures, Multipliers, of_multipliers
from search_spaces.resolution import Resolution

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
# The first block of each stage and how many there are; further ones have stride 1.
STAGES: tuple[tuple[Layer, int], ...] = (
    (FusedBottleneck(24, 3, 1, 4.0, residual=False), 1),
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
    stem, head = make_divisible(STEM_CHANNELS * width), make_divisible(HEAD_CHANNELS * width)
    first: Any
    (first, *more), *rest = [rows.stage_from(block, repeats, width, depth) for block, repeats in STAGES]
    first = replace(first, expand_ratio=first.expand_ratio * first.out_channels / stem)
    stages = ((ConvBNAct(stem, 3, 2),), (first, *more), *rest, (ConvBNAct(head), Classifier(num_classes)))
    return Arch(resolution, stages, in_channels)


PUBLISHED: dict[str, Multipliers] = {
    "efficientnet_es": Multipliers(1.0, 1.0, 224),
    "efficientnet_em": Multipliers(1.0, 1.1, 240),
    "efficientnet_el": Multipliers(1.2, 1.4, 300),
}
FIGURES: dict[str, Figures] = {
    "efficientnet_es": Figures(78.092, 93.932, 224, TIMM),
    "efficientnet_em": Figures(79.264, 94.796, 240, TIMM),
}
FAMILY = Family(
    "EfficientNet-EdgeTPU",
    "Accelerator-aware Neural Network Design using AutoML",
    "2003.02838",
    PUBLISHED,
    of_multipliers(efficientnet_edge),
    FIGURES,
)
published = FAMILY.published
