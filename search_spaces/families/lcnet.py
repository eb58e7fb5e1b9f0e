"""PP-LCNet (Cui et al., arXiv 2109.15099, Table 1), made for CPUs with Intel's MKL-DNN, at any width multiplier."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, Layer, PooledConv, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.resolution import Resolution

ACT = "hard_swish"
STEM_CHANNELS = 16
HEAD_CHANNELS = 1280
SE = SqueezeExcite(0.25, of="input", divisor=1, gate="hard_sigmoid")  # in the last stage

# kernel, channels, stride of each block
STAGES = (
    ((3, 32, 1),),
    ((3, 64, 2), (3, 64, 1)),
    ((3, 128, 2), (3, 128, 1)),
    ((3, 256, 2), (5, 256, 1)),
    ((5, 256, 1),) * 4,
    ((5, 512, 2), (5, 512, 1)),
)


def lcnet(width: float = 1.0, resolution: Resolution = 224, num_classes: int = 1000, in_channels: int = 3) -> Arch:
    """PP-LCNet with `width` times the channels, rounded to multiples of 8; they never fall by more than a tenth.

    Its blocks are MobileNetV1's: an activation behind the 1x1 convolution too, and no residual. The convolution behind
    the pooling keeps its channels. Raises `ValueError` for a width that is not positive.
    """
    check_multipliers(width=width)
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(make_divisible(STEM_CHANNELS * width), 3, 2, act=ACT),)]
    for stage in STAGES:
        se = SE if stage is STAGES[-1] else None
        stages.append(
            tuple(
                DepthwiseSeparable(make_divisible(channels * width), kernel, stride, ACT, se, False, linear=False)
                for kernel, channels, stride in stage
            )
        )
    stages.append((PooledConv(HEAD_CHANNELS, ACT, bias=True), Classifier(num_classes)))
    return Arch(resolution, tuple(stages), in_channels)


PUBLISHED: dict[str, float] = {
    "lcnet_035": 0.35,
    "lcnet_050": 0.5,
    "lcnet_075": 0.75,
    "lcnet_100": 1.0,
    "lcnet_150": 1.5,
}


def _arch(form: float, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return lcnet(form, resolution or 224, num_classes, in_channels)


FIGURES: dict[str, Figures] = {
    "lcnet_050": Figures(63.138, 84.402, 224, TIMM),
    "lcnet_075": Figures(68.786, 88.384, 224, TIMM),
    "lcnet_100": Figures(72.130, 90.376, 224, TIMM),
}
FAMILY = Family(
    "PP-LCNet",
    "PP-LCNet: A Lightweight CPU Convolutional Neural Network",
    "2109.15099",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
