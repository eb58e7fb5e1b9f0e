"""EfficientNet (Tan and Le, ICML 2019, arXiv 1905.11946, Table 1) and EfficientNet-Lite, at any width and depth.

Lite nets (from the authors' code, for phones and edge devices) have ReLU6 and no squeeze-and-excitation, and keep stem,
head and the depth of the first and last stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures, Multipliers
from search_spaces.families.rows import Row
from search_spaces.resolution import Resolution

STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
SE = SqueezeExcite(0.25, of="input", divisor=1, act="silu")
# kernel, expand_ratio, channels, repeats, stride of the first block
ROWS = tuple(
    replace(row, act="silu", se=SE)
    for row in (
        Row(3, 1, 16),
        Row(3, 6, 24, 2, 2),
        Row(5, 6, 40, 2, 2),
        Row(3, 6, 80, 3, 2),
        Row(5, 6, 112, 3),
        Row(5, 6, 192, 4, 2),
        Row(3, 6, 320),
    )
)
LITE_ROWS = tuple(replace(row, act="relu6", se=None) for row in ROWS)


def efficientnet(
    width: float = 1.0,
    depth: float = 1.0,
    lite: bool = False,
    resolution: Resolution = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Arch:
    """EfficientNet (or EfficientNet-Lite) with `width` times the channels and `depth` times the blocks per stage.

    Channels are rounded to multiples of 8 and never fall by more than a tenth, repeats are rounded up. Raises
    `ValueError` for multipliers that are not positive.
    """
    check_multipliers(width=width, depth=depth)
    table = LITE_ROWS if lite else ROWS
    stem, head, act = STEM_CHANNELS, HEAD_CHANNELS, table[0].act
    if not lite:
        stem, head = make_divisible(stem * width), make_divisible(head * width)
    scaled = rows.stages_between if lite else rows.stages
    stages = (
        (ConvBNAct(stem, 3, 2, act=act),),
        *scaled([(row,) for row in table], width, depth),
        (ConvBNAct(head, act=act), Classifier(num_classes)),
    )
    return Arch(resolution, stages, in_channels)


@dataclass(frozen=True)
class Published(Multipliers):
    """Multipliers and pixels of one published net."""

    lite: bool = False


# The sizes of timm's weights; the paper's B2, B3 and B4 are at 260, 300 and 380 pixels.
PUBLISHED: dict[str, Published] = {
    "efficientnet_b0": Published(1.0, 1.0, 224),
    "efficientnet_b1": Published(1.0, 1.1, 240),
    "efficientnet_b2": Published(1.1, 1.2, 256),
    "efficientnet_b3": Published(1.2, 1.4, 288),
    "efficientnet_b4": Published(1.4, 1.8, 320),
    "efficientnet_lite0": Published(1.0, 1.0, 224, lite=True),
    "efficientnet_lite1": Published(1.0, 1.1, 240, lite=True),
    "efficientnet_lite2": Published(1.1, 1.2, 260, lite=True),
    "efficientnet_lite3": Published(1.2, 1.4, 300, lite=True),
    "efficientnet_lite4": Published(1.4, 1.8, 380, lite=True),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return efficientnet(form.width, form.depth, form.lite, resolution or form.resolution, num_classes, in_channels)


FIGURES: dict[str, Figures] = {
    "efficientnet_b0": Figures(77.698, 93.538, 224, TIMM),
    "efficientnet_b1": Figures(80.404, 95.152, 240, TIMM),
    "efficientnet_b2": Figures(79.324, 94.582, 256, TIMM),
    "efficientnet_b3": Figures(81.472, 95.696, 288, TIMM),
    "efficientnet_b4": Figures(82.658, 96.134, 320, TIMM),
    "efficientnet_lite0": Figures(75.488, 92.508, 224, TIMM),
}
FAMILY = Family(
    "EfficientNet",
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    "1905.11946",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
