"""FBNetV3 (Dai et al., CVPR 2021, arXiv 2006.02049) and its published networks.

Departure: the released A, B, C, E and F pad some strided convolutions by less than half the kernel, which shrinks the
maps (A at 224 pixels: 355.5 M MACs instead of 407.5 M). Here every convolution has the usual padding, as in timm.
"""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.layers import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, PooledConv
from search_spaces.squeeze_excite import SqueezeExcite

HEAD_CHANNELS = 1984
STAGE_STRIDES = (2, 2, 2, 1, 2)  # stages 2 to 6
STAGE_SE = (False, True, False, True, True)
SE = SqueezeExcite(0.25, of="input", divisor=8, round_limit=0.95, act="hard_swish", gate="hard_sigmoid")
ACT = "hard_swish"


@dataclass(frozen=True)
class Stage:
    """A strided first block and `rest` more: kernel sizes (first, rest), channels, expansions (first, rest)."""

    kernels: tuple[int, int]
    channels: int
    expands: tuple[int, int]
    rest: int


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


def _form(resolution: int, stem: int, first: str, stages: str, last: str) -> Published:
    """Stages written as `k<first>/<rest>:<channels>:e<first>/<rest>:<rest>`, parted by spaces."""
    rows = []
    for text in stages.split():
        kernels, channels, expands, rest = text.split(":")
        k, e = kernels[1:].split("/"), expands[1:].split("/")
        rows.append(Stage((int(k[0]), int(k[1])), int(channels), (int(e[0]), int(e[1])), int(rest)))
    channels, depth = first.split(":")
    kernel, width, expand, repeats = last.split(":")
    return Published(
        resolution,
        stem,
        (int(channels), int(depth)),
        tuple(rows),
        (int(kernel[1:]), int(width), int(expand[1:]), int(repeats)),
    )


_AB = "k5/5:24:e4/2:3 k5/5:40:e5/3:4 k5/3:72:e5/3:4 k3/5:120:e5/3:5 k3/5:184:e6/4:5"
_C = "k5/3:24:e5/3:4 k5/5:48:e5/2:4 k5/3:88:e4/3:4 k3/5:120:e4/3:5 k5/5:216:e5/5:5"
_D = "k3/3:24:e5/2:5 k5/3:40:e4/3:4 k3/3:72:e5/3:4 k3/5:128:e5/3:6 k3/5:208:e6/5:5"
_E = "k5/5:24:e4/2:4 k5/5:48:e4/3:4 k5/3:80:e5/3:4 k3/5:128:e5/3:7 k3/5:216:e6/5:5"
_F = "k5/5:32:e4/2:4 k5/5:56:e4/3:4 k5/3:88:e5/3:4 k3/5:144:e5/3:8 k3/5:248:e6/5:6"
_G = "k5/5:40:e4/2:4 k5/5:56:e4/3:4 k5/3:104:e5/3:4 k3/5:160:e5/3:8 k3/5:264:e6/5:6"

# Resolutions are the released ones; timm's fbnetv3_b and _d are trained at 224, its _g at 240 (see nas.zoo).
PUBLISHED: dict[str, Published] = {
    "fbnetv3_a": _form(224, 16, "16:2", _AB, "k5:224:e6:1"),
    "fbnetv3_b": _form(224, 16, "16:2", _AB, "k5:224:e6:1"),
    "fbnetv3_c": _form(248, 16, "16:2", _C, "k5:216:e6:1"),
    "fbnetv3_d": _form(224, 24, "16:2", _D, "k5:240:e6:1"),
    "fbnetv3_e": _form(264, 24, "16:3", _E, "k5:240:e6:1"),
    "fbnetv3_f": _form(272, 24, "24:3", _F, "k5:272:e6:1"),
    "fbnetv3_g": _form(240, 32, "24:3", _G, "k5:288:e6:2"),
}


def published(name: str, num_classes: int = 1000, resolution: int | None = None, in_channels: int = 3) -> Arch:
    """The published FBNetV3 called `name` (a key of `PUBLISHED`), at its own resolution unless another is given."""
    if name not in PUBLISHED:
        raise ValueError(f"unknown FBNetV3 {name!r}; one of {', '.join(PUBLISHED)}")
    form = PUBLISHED[name]
    channels, depth = form.first
    stages: list[tuple[Layer, ...]] = [
        (ConvBNAct(form.stem, 3, 2, act=ACT),),
        tuple(DepthwiseSeparable(channels, act=ACT) for _ in range(depth)),
    ]
    for stage, stride, squeezes in zip(form.stages, STAGE_STRIDES, STAGE_SE, strict=True):
        se = SE if squeezes else None
        first, rest = (
            InvertedResidual(stage.channels, kernel, s, expand, act=ACT, se=se)
            for kernel, expand, s in zip(stage.kernels, stage.expands, (stride, 1), strict=True)
        )
        stages.append((first, *[rest] * stage.rest))
    kernel, channels, expand, repeats = form.last
    last = InvertedResidual(channels, kernel, 1, expand, act=ACT, se=SE)
    stages[-1] = (*stages[-1], *[last] * repeats)  # timm counts stage 7 to stage 6
    stages.append((ConvBNAct(channels * expand, act=ACT),))
    stages.append((PooledConv(HEAD_CHANNELS, act=ACT), Classifier(num_classes)))
    return Arch(resolution or form.resolution, tuple(stages), in_channels)
