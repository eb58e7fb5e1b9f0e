"""FBNetV3 (Dai et al., CVPR 2021, arXiv 2006.02049) and its published networks.

Departure: the released A, B, C, E and F pad some strided convolutions by less than half the kernel, which shrinks the
maps (A at 224 pixels: 355.5 M MACs instead of 407.5 M). Here every convolution has the usual padding, as in timm.
"""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import (
    Classifier,
    ConvBNAct,
    DepthwiseSeparable,
    InvertedResidual,
    Layer,
    PooledConv,
    SqueezeExcite,
)
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.resolution import Resolution

HEAD_CHANNELS = 1984
STAGE_STRIDES = (2, 2, 2, 1, 2)  # stages 2 to 6
STAGE_SE = (False, True, False, True, True)
SE = SqueezeExcite(0.25, of="input", divisor=8, round_limit=0.95, act="hard_swish", gate="hard_sigmoid")
ACT = "hard_swish"


@dataclass(frozen=True)
class Stage:
    """A strided first block and `rest` more, with kernel size and expansion of the first and of the others."""

    channels: int
    first_kernel: int
    first_expand: int
    rest: int
    kernel: int
    expand: int


@dataclass(frozen=True)
class Published:
    """One published form: stem; stage 1 (channels, depth); stages 2 to 6; stage 7 (kernel, channels, expansion, depth).

    The convolution behind stage 7 widens by stage 7's expansion.
    """

    resolution: int
    stem: int
    first: tuple[int, int]
    stages: tuple[Stage, ...]
    last: tuple[int, int, int, int]


# channels; kernel and expansion of the first block; how many more; kernel and expansion of those
_AB = (
    Stage(24, 5, 4, 3, 5, 2),
    Stage(40, 5, 5, 4, 5, 3),
    Stage(72, 5, 5, 4, 3, 3),
    Stage(120, 3, 5, 5, 5, 3),
    Stage(184, 3, 6, 5, 5, 4),
)
_C = (
    Stage(24, 5, 5, 4, 3, 3),
    Stage(48, 5, 5, 4, 5, 2),
    Stage(88, 5, 4, 4, 3, 3),
    Stage(120, 3, 4, 5, 5, 3),
    Stage(216, 5, 5, 5, 5, 5),
)
_D = (
    Stage(24, 3, 5, 5, 3, 2),
    Stage(40, 5, 4, 4, 3, 3),
    Stage(72, 3, 5, 4, 3, 3),
    Stage(128, 3, 5, 6, 5, 3),
    Stage(208, 3, 6, 5, 5, 5),
)
_E = (
    Stage(24, 5, 4, 4, 5, 2),
    Stage(48, 5, 4, 4, 5, 3),
    Stage(80, 5, 5, 4, 3, 3),
    Stage(128, 3, 5, 7, 5, 3),
    Stage(216, 3, 6, 5, 5, 5),
)
_F = (
    Stage(32, 5, 4, 4, 5, 2),
    Stage(56, 5, 4, 4, 5, 3),
    Stage(88, 5, 5, 4, 3, 3),
    Stage(144, 3, 5, 8, 5, 3),
    Stage(248, 3, 6, 6, 5, 5),
)
_G = (
    Stage(40, 5, 4, 4, 5, 2),
    Stage(56, 5, 4, 4, 5, 3),
    Stage(104, 5, 5, 4, 3, 3),
    Stage(160, 3, 5, 8, 5, 3),
    Stage(264, 3, 6, 6, 5, 5),
)

# Resolutions are the released ones; timm's fbnetv3_b and _d are trained at 224, its _g at 240 (see nas.zoo).
PUBLISHED: dict[str, Published] = {
    "fbnetv3_a": Published(224, 16, (16, 2), _AB, (5, 224, 6, 1)),
    "fbnetv3_b": Published(224, 16, (16, 2), _AB, (5, 224, 6, 1)),
    "fbnetv3_c": Published(248, 16, (16, 2), _C, (5, 216, 6, 1)),
    "fbnetv3_d": Published(224, 24, (16, 2), _D, (5, 240, 6, 1)),
    "fbnetv3_e": Published(264, 24, (16, 3), _E, (5, 240, 6, 1)),
    "fbnetv3_f": Published(272, 24, (24, 3), _F, (5, 272, 6, 1)),
    "fbnetv3_g": Published(240, 32, (24, 3), _G, (5, 288, 6, 2)),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    channels, depth = form.first
    stages: list[tuple[Layer, ...]] = [
        (ConvBNAct(form.stem, 3, 2, act=ACT),),
        tuple(DepthwiseSeparable(channels, act=ACT) for _ in range(depth)),
    ]
    for stage, stride, squeezes in zip(form.stages, STAGE_STRIDES, STAGE_SE, strict=True):
        se = SE if squeezes else None
        first = InvertedResidual(stage.channels, stage.first_kernel, stride, stage.first_expand, act=ACT, se=se)
        rest = InvertedResidual(stage.channels, stage.kernel, 1, stage.expand, act=ACT, se=se)
        stages.append((first, *[rest] * stage.rest))
    kernel, channels, expand, repeats = form.last
    last = InvertedResidual(channels, kernel, 1, expand, act=ACT, se=SE)
    stages[-1] = (*stages[-1], *[last] * repeats)  # timm counts stage 7 to stage 6
    stages.append((ConvBNAct(channels * expand, act=ACT),))
    stages.append((PooledConv(HEAD_CHANNELS, act=ACT), Classifier(num_classes)))
    return Arch(resolution or form.resolution, tuple(stages), in_channels)


_MV3 = "mobile-vision model info; released net pads less (fewer MACs)"
FIGURES: dict[str, Figures] = {
    "fbnetv3_a": Figures(79.574, 94.712, 224, _MV3),
    "fbnetv3_b": Figures(79.154, 94.732, 256, TIMM),
    "fbnetv3_c": Figures(80.826, 95.286, 248, _MV3),
    "fbnetv3_d": Figures(79.682, 94.952, 256, TIMM),
    "fbnetv3_e": Figures(81.254, 95.488, 264, _MV3),
    "fbnetv3_f": Figures(82.062, 95.874, 272, _MV3),
    "fbnetv3_g": Figures(82.034, 96.064, 288, TIMM),
}
FAMILY = Family(
    "FBNetV3",
    "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining",
    "2006.02049",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
