"""EfficientNetV2-S (Tan and Le, ICML 2021, arXiv 2104.00298, Table 4), at any width and depth multiplier."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, FusedBottleneck, InvertedResidual, Layer, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures, Multipliers, of_multipliers
from search_spaces.resolution import Resolution

STEM_CHANNELS = 24
HEAD_CHANNELS = 1280
ACT = "silu"
SE = SqueezeExcite(0.25, of="input", divisor=1, act=ACT)
# The first block of each stage and how many there are; further ones have stride 1.
STAGES: tuple[tuple[Layer, int], ...] = (
    (ConvBNAct(24, 3, act=ACT, residual=True), 2),
    (FusedBottleneck(48, 3, 2, 4.0, ACT), 4),
    (FusedBottleneck(64, 3, 2, 4.0, ACT), 4),
    (InvertedResidual(128, 3, 2, 4.0, act=ACT, se=SE), 6),
    (InvertedResidual(160, 3, 1, 6.0, act=ACT, se=SE), 9),
    (InvertedResidual(256, 3, 2, 6.0, act=ACT, se=SE), 15),
)


def efficientnetv2(
    width: float = 1.0, depth: float = 1.0, resolution: Resolution = 288, num_classes: int = 1000, in_channels: int = 3
) -> Arch:
    """EfficientNetV2-S with `width` times the channels and `depth` times the blocks per stage.

    Channels are rounded to multiples of 8 and never fall by more than a tenth, repeats are rounded up. Raises
    `ValueError` for multipliers that are not positive.
    """
    check_multipliers(width=width, depth=depth)
    stem, head = make_divisible(STEM_CHANNELS * width), make_divisible(HEAD_CHANNELS * width)
    stages = (
        (ConvBNAct(stem, 3, 2, act=ACT),),
        *[rows.stage_from(block, repeats, width, depth) for block, repeats in STAGES],
        (ConvBNAct(head, act=ACT), Classifier(num_classes)),
    )
    return Arch(resolution, stages, in_channels)


PUBLISHED: dict[str, Multipliers] = {"efficientnetv2_rw_t": Multipliers(0.8, 0.9, 224)}  # timm's; its test size is 288
FIGURES: dict[str, Figures] = {"efficientnetv2_rw_t": Figures(82.354, 96.178, 288, TIMM)}
FAMILY = Family(
    "EfficientNetV2",
    "EfficientNetV2: Smaller Models and Faster Training",
    "2104.00298",
    PUBLISHED,
    of_multipliers(efficientnetv2),
    FIGURES,
)
published = FAMILY.published
