"""TinyNet (Han et al., NeurIPS 2020, arXiv 2010.14819): EfficientNet-B0 shrunk in resolution, depth and width."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures, Multipliers, of_multipliers
from search_spaces.families.efficientnet.published import HEAD_CHANNELS, ROWS, STEM_CHANNELS
from search_spaces.resolution import Resolution

ACT = "silu"


def tinynet(
    width: float = 1.0, depth: float = 1.0, resolution: Resolution = 224, num_classes: int = 1000, in_channels: int = 3
) -> Arch:
    """EfficientNet-B0 with `width` times the channels and `depth` times the blocks per stage, rounded to the nearest.

    Unlike EfficientNet's own scaling, a stage can lose blocks, the stem keeps its channels and the head is never
    narrowed. Raises `ValueError` for multipliers that are not positive.
    """
    check_multipliers(width=width, depth=depth)
    stages = (
        (ConvBNAct(STEM_CHANNELS, 3, 2, act=ACT),),
        *rows.stages([(row,) for row in ROWS], width, depth, whole=round),
        (ConvBNAct(max(HEAD_CHANNELS, make_divisible(HEAD_CHANNELS * width)), act=ACT), Classifier(num_classes)),
    )
    return Arch(resolution, stages, in_channels)


PUBLISHED: dict[str, Multipliers] = {
    "tinynet_a": Multipliers(1.0, 1.2, 192),
    "tinynet_b": Multipliers(0.75, 1.1, 188),
    "tinynet_c": Multipliers(0.54, 0.85, 184),
    "tinynet_d": Multipliers(0.54, 0.695, 152),
    "tinynet_e": Multipliers(0.51, 0.6, 106),
}
FIGURES: dict[str, Figures] = {
    "tinynet_a": Figures(77.666, 93.532, 192, TIMM),
    "tinynet_b": Figures(74.946, 92.194, 188, TIMM),
    "tinynet_c": Figures(71.214, 89.746, 184, TIMM),
    "tinynet_d": Figures(66.936, 87.078, 152, TIMM),
    "tinynet_e": Figures(59.874, 81.774, 106, TIMM),
}
FAMILY = Family(
    "TinyNet",
    "Model Rubik's Cube: Twisting Resolution, Depth and Width for TinyNets",
    "2010.14819",
    PUBLISHED,
    of_multipliers(tinynet),
    FIGURES,
)
published = FAMILY.published
