"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381, Table 2), at any width and depth multiplier."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.rows import Row
from search_spaces.resolution import Resolution

# expand_ratio, channels, repeats, stride of the first block
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
ACT = "relu6"


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
    check_multipliers(width=width, depth=depth)
    stem, head = STEM_CHANNELS, HEAD_CHANNELS
    if scale_ends:
        stem, head = make_divisible(stem * width), max(head, make_divisible(head * width))
    scaled = rows.stages if scale_ends else rows.stages_between
    stages = (
        (ConvBNAct(stem, 3, 2, act=ACT),),
        *scaled([(Row(3, *stage, act=ACT),) for stage in STAGES], width, depth),
        (ConvBNAct(head, act=ACT), Classifier(num_classes)),
    )
    return Arch(resolution, stages, in_channels)


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
