"""MobileNetV3 (Howard et al., ICCV 2019, arXiv 1905.02244, Tables 1 and 2), at any width multiplier.

`minimal` nets have 3x3 kernels, ReLU and no squeeze-and-excitation, for devices that are slow at the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, PooledConv, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TENSORFLOW_EPS, TIMM, Family, Figures
from search_spaces.families.rows import Row
from search_spaces.resolution import Resolution

HS = "hard_swish"
SE = SqueezeExcite(0.25, of="expanded", divisor=8, gate="hard_sigmoid")
STEM_CHANNELS = 16
KEEPS_STEM_BELOW = 0.75  # narrower nets have the stem of width 1

# kernel, expand_ratio, channels, repeats, stride of the first block
SMALL = (
    (Row(3, 1, 16, 1, 2, se=SE),),
    (Row(3, 4.5, 24, 1, 2), Row(3, 3.67, 24)),
    (Row(5, 4, 40, 1, 2, HS, SE), Row(5, 6, 40, 2, 1, HS, SE)),
    (Row(5, 3, 48, 2, 1, HS, SE),),
    (Row(5, 6, 96, 3, 2, HS, SE),),
)
LARGE = (
    (Row(3, 1, 16),),
    (Row(3, 4, 24, 1, 2), Row(3, 3, 24)),
    (Row(5, 3, 40, 3, 2, se=SE),),
    (Row(3, 6, 80, 1, 2, HS), Row(3, 2.5, 80, 1, 1, HS), Row(3, 2.3, 80, 2, 1, HS)),
    (Row(3, 6, 112, 2, 1, HS, SE),),
    (Row(5, 6, 160, 3, 2, HS, SE),),
)


@dataclass(frozen=True)
class Size:
    """Block stages, and the channels of the convolutions behind them (scaled) and behind the pooling (not scaled)."""

    stages: tuple[tuple[Row, ...], ...]
    last: int
    pooled: int


SIZES = {"small": Size(SMALL, 576, 1024), "large": Size(LARGE, 960, 1280)}


@dataclass(frozen=True)
class Published:
    """What distinguishes one published net. `tensorflow`: ported from TensorFlow, with its padding and epsilon."""

    size: str
    width: float = 1.0
    depth: float = 1.0
    minimal: bool = False
    tensorflow: bool = False
    resolution: int = 224


def mobilenetv3(
    size: str = "large",
    width: float = 1.0,
    minimal: bool = False,
    resolution: Resolution = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Arch:
    """MobileNetV3-Small or -Large (`size`) with `width` times the channels.

    Channels are rounded to multiples of 8 and never fall by more than a tenth. The convolution behind the pooling keeps
    its channels, and so does the stem below `KEEPS_STEM_BELOW`. Raises `ValueError` for another size and for a width
    that is not positive.
    """
    return _arch(Published(size, width, minimal=minimal), num_classes, resolution, in_channels)


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    check_multipliers(width=form.width)
    if form.size not in SIZES:
        raise ValueError(f"unknown MobileNetV3 size {form.size!r}; one of {', '.join(SIZES)}")
    size, act = SIZES[form.size], "relu" if form.minimal else HS
    padding = "tensorflow" if form.tensorflow else "symmetric"
    stem = make_divisible(STEM_CHANNELS * form.width) if form.width >= KEEPS_STEM_BELOW else STEM_CHANNELS
    table = [[_row(row, form.minimal, padding) for row in stage] for stage in size.stages]
    last = ConvBNAct(make_divisible(size.last * form.width), act=act)
    stages = (
        (ConvBNAct(stem, 3, 2, act=act, padding=padding),),
        *rows.stages(table, form.width, form.depth),
        (last,) * math.ceil(form.depth),
        (PooledConv(size.pooled, act, bias=True), Classifier(num_classes)),
    )
    return Arch(resolution or form.resolution, stages, in_channels)


def _row(row: Row, minimal: bool, padding: str) -> Row:
    row = replace(row, padding=padding)
    return replace(row, kernel_size=3, act="relu", se=None) if minimal else row


PUBLISHED: dict[str, Published] = {
    "mobilenetv3_small_050": Published("small", 0.5),
    "mobilenetv3_small_075": Published("small", 0.75),
    "mobilenetv3_small_100": Published("small"),
    "mobilenetv3_large_075": Published("large", 0.75),
    "mobilenetv3_large_100": Published("large"),
    "mobilenetv3_large_150d": Published("large", 1.5, 1.2, resolution=256),
    "tf_mobilenetv3_small_075": Published("small", 0.75, tensorflow=True),
    "tf_mobilenetv3_small_100": Published("small", tensorflow=True),
    "tf_mobilenetv3_small_minimal_100": Published("small", minimal=True, tensorflow=True),
    "tf_mobilenetv3_large_075": Published("large", 0.75, tensorflow=True),
    "tf_mobilenetv3_large_100": Published("large", tensorflow=True),
    "tf_mobilenetv3_large_minimal_100": Published("large", minimal=True, tensorflow=True),
}
FIGURES: dict[str, Figures] = {
    "mobilenetv3_small_050": Figures(57.918, 80.144, 224, TIMM),
    "mobilenetv3_small_075": Figures(65.284, 85.462, 224, TIMM),
    "mobilenetv3_small_100": Figures(67.636, 87.638, 224, TIMM),
    "mobilenetv3_large_100": Figures(75.784, 92.528, 224, TIMM),
    "mobilenetv3_large_150d": Figures(80.994, 95.474, 256, TIMM),
    "tf_mobilenetv3_small_075": Figures(65.706, 86.130, 224, TIMM),
    "tf_mobilenetv3_small_100": Figures(67.922, 87.686, 224, TIMM),
    "tf_mobilenetv3_small_minimal_100": Figures(62.892, 84.270, 224, TIMM),
    "tf_mobilenetv3_large_075": Figures(73.442, 91.332, 224, TIMM),
    "tf_mobilenetv3_large_100": Figures(75.510, 92.600, 224, TIMM),
    "tf_mobilenetv3_large_minimal_100": Figures(72.270, 90.664, 224, TIMM),
}
FAMILY = Family(
    "MobileNetV3",
    "Searching for MobileNetV3",
    "1905.02244",
    PUBLISHED,
    _arch,
    FIGURES,
    {name: TENSORFLOW_EPS for name, form in PUBLISHED.items() if form.tensorflow},
)
published = FAMILY.published
