"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381, Table 2), at any width and depth multiplier."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer
from search_spaces.costs import make_divisible
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.resolution import Resolution

# expand_ratio, channels, repeats, stride of the first block
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280


def mobilenetv2(
    width: float = 1.0,
    depth: float = 1.0,
    resolution: Resolution = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
    scale_ends: bool = True,
) -> Arch:
    """MobileNetV2 with `width` times the channels and `depth` times the blocks per stage.

    Channels are rounded to multiples of 8 and never fall by more than a tenth; the head is widened above 1 and never
    narrowed. Repeats are rounded up. `scale_ends=False` leaves the stem and head at 32 and 1280 channels and the first
    and last stage at one block, as timm's depth-scaled nets (`110d`, `120d`) do.
    """
    for name, value in (("width", width), ("depth", depth)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}")
    stem, head = STEM_CHANNELS, HEAD_CHANNELS
    if scale_ends:
        stem, head = make_divisible(stem * width), max(head, make_divisible(head * width))
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(stem, 3, 2, act="relu6"),)]
    for i, (expand_ratio, channels, repeats, stride) in enumerate(STAGES):
        channels = make_divisible(channels * width)
        if scale_ends or 0 < i < len(STAGES) - 1:
            repeats = math.ceil(repeats * depth)
        strides = [stride] + [1] * (repeats - 1)
        if expand_ratio == 1:
            stages.append(tuple(DepthwiseSeparable(channels, 3, s, act="relu6") for s in strides))
        else:
            stages.append(tuple(InvertedResidual(channels, 3, s, expand_ratio, act="relu6") for s in strides))
    stages.append((ConvBNAct(head, act="relu6"), Classifier(num_classes)))
    return Arch(resolution, tuple(stages), in_channels)


@dataclass(frozen=True)
class Published:
    """Multipliers of one published net."""

    width: float
    depth: float = 1.0
    scale_ends: bool = True


PUBLISHED: dict[str, Published] = {
    "mobilenetv2_035": Published(0.35),
    "mobilenetv2_050": Published(0.5),
    "mobilenetv2_075": Published(0.75),
    "mobilenetv2_100": Published(1.0),
    "mobilenetv2_110d": Published(1.1, 1.2, scale_ends=False),
    "mobilenetv2_120d": Published(1.2, 1.4, scale_ends=False),
    "mobilenetv2_140": Published(1.4),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return mobilenetv2(form.width, form.depth, resolution or 224, num_classes, in_channels, form.scale_ends)


_SLIM = "TensorFlow slim MobileNetV2 table"
FIGURES: dict[str, Figures] = {
    "mobilenetv2_035": Figures(60.3, 82.9, 224, _SLIM),
    "mobilenetv2_050": Figures(65.928, 86.114, 224, TIMM),
    "mobilenetv2_075": Figures(69.8, 89.6, 224, _SLIM),
    "mobilenetv2_100": Figures(72.910, 91.000, 224, TIMM),
    "mobilenetv2_110d": Figures(75.056, 92.186, 224, TIMM),
    "mobilenetv2_120d": Figures(77.300, 93.516, 224, TIMM),
    "mobilenetv2_140": Figures(76.528, 93.008, 224, TIMM),
}
FAMILY = Family(
    "MobileNetV2",
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    "1801.04381",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
