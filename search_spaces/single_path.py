"""Single-Path NAS (Stamoulis et al., ECML-PKDD 2019, arXiv 1904.02877) and its published network."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.layers import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, Skip

STEM_CHANNELS = 32
FIRST_CHANNELS = 16  # a depthwise-separable block without residual
STAGE_CHANNELS = (24, 40, 80, 96, 192)
STAGE_DEPTHS = (4, 4, 4, 4, 4)
STAGE_STRIDES = (2, 2, 2, 1, 2)
LAST_CHANNELS = 320  # a 3x3 block of expansion 6 without residual
HEAD_CHANNELS = 1280


def block(name: str, out_channels: int, stride: int) -> Layer:
    """The searched block called `name`: `skip`, or `k<kernel>_e<expansion>`."""
    if name == "skip":
        return Skip(out_channels, stride)
    kernel, expand = name.split("_")
    return InvertedResidual(out_channels, int(kernel[1:]), stride, float(expand[1:]))


# One block name per searched layer; see docs/networks.md for the source.
PUBLISHED: dict[str, str] = {
    "spnasnet_100": (
        "k3_e3 k3_e3 k3_e3 skip  k5_e6 k3_e3 k3_e3 k3_e3  k5_e6 k3_e3 k3_e3 k3_e3  "
        "k5_e6 k5_e3 k5_e3 k5_e3  k5_e6 k5_e6 k5_e6 k5_e6"
    ),
}


def published(name: str, num_classes: int = 1000, resolution: int | None = None, in_channels: int = 3) -> Arch:
    """The published Single-Path network called `name` (a key of `PUBLISHED`), at 224 pixels unless told otherwise."""
    if name not in PUBLISHED:
        raise ValueError(f"unknown Single-Path network {name!r}; one of {', '.join(PUBLISHED)}")
    names = iter(PUBLISHED[name].split())
    stages: list[tuple[Layer, ...]] = [
        (ConvBNAct(STEM_CHANNELS, 3, 2),),
        (DepthwiseSeparable(FIRST_CHANNELS, residual=False),),
    ]
    for channels, depth, stride in zip(STAGE_CHANNELS, STAGE_DEPTHS, STAGE_STRIDES, strict=True):
        stages.append(tuple(block(next(names), channels, stride if i == 0 else 1) for i in range(depth)))
    stages.append((InvertedResidual(LAST_CHANNELS, 3, residual=False),))
    stages.append((ConvBNAct(HEAD_CHANNELS), Classifier(num_classes)))
    return Arch(resolution or 224, tuple(stages), in_channels)
