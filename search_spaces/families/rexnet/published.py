"""ReXNet (Han et al., CVPR 2021, arXiv 2007.00992): channels that grow linearly with depth, at any width and depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, Layer, LinearBottleneck, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.resolution import Resolution

# repeats, stride of the first block, expand_ratio, squeeze-and-excitation
STAGES = ((1, 1, 1, False), (2, 2, 6, False), (2, 2, 6, True), (3, 2, 6, True), (3, 1, 6, True), (5, 2, 6, True))
STEM_CHANNELS = 32
FIRST_CHANNELS = 16
GROWTH = 180  # channels gained over the whole depth; the last block has one step less
PENULTIMATE_CHANNELS = 1280
SE_RATIO = 1 / 12


def block_channels(count: int, width: float = 1.0, divisor: int = 1) -> list[int]:
    """Output channels of `count` blocks: round(width * (first + i * GROWTH / count)), rounded to `divisor`.

    Below width 1 stem and first block keep their channels. `round` is to even at one half, as in the authors' code.
    """
    channels = FIRST_CHANNELS / width if width < 1 else float(FIRST_CHANNELS)
    out = []
    for _ in range(count):
        out.append(make_divisible(round(channels * width), divisor))
        channels += GROWTH / count  # summed step by step: the rounding of a half depends on it
    return out


def rexnet(
    width: float = 1.0,
    depth: float = 1.0,
    divisor: int = 1,
    resolution: Resolution = 224,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Arch:
    """ReXNet with `width` times the channels, `depth` times the blocks per stage, channels rounded to `divisor`."""
    check_multipliers(width=width, depth=depth)
    se = SqueezeExcite(SE_RATIO, of="expanded", divisor=divisor, norm=True)
    repeats = [math.ceil(repeats * depth) for repeats, *_ in STAGES]
    channels = iter(block_channels(sum(repeats), width, divisor))
    stem = make_divisible(round(STEM_CHANNELS * max(width, 1.0)), divisor)
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(stem, 3, 2, act="silu"),)]
    for count, (_, stride, expand_ratio, squeezes) in zip(repeats, STAGES, strict=True):
        stages.append(
            tuple(
                LinearBottleneck(
                    next(channels),
                    stride=stride if i == 0 else 1,
                    expand_ratio=expand_ratio,
                    se=se if squeezes else None,
                    divisor=divisor,
                )
                for i in range(count)
            )
        )
    penultimate = make_divisible(PENULTIMATE_CHANNELS * width, divisor)
    stages.append((ConvBNAct(penultimate, act="silu"), Classifier(num_classes)))
    return Arch(resolution, tuple(stages), in_channels)


@dataclass(frozen=True)
class Published:
    """Width multiplier and channel divisor of one published net."""

    width: float
    divisor: int = 1


PUBLISHED: dict[str, Published] = {
    "rexnet_100": Published(1.0),
    "rexnet_130": Published(1.3),
    "rexnet_150": Published(1.5),
    "rexnet_200": Published(2.0),
    "rexnet_300": Published(3.0),
    "rexnetr_100": Published(1.0, 8),
    "rexnetr_130": Published(1.3, 8),
    "rexnetr_150": Published(1.5, 8),
    "rexnetr_200": Published(2.0, 8),
    "rexnetr_300": Published(3.0, 16),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return rexnet(form.width, 1.0, form.divisor, resolution or 224, num_classes, in_channels)


_TIMM_12K = f"{TIMM}; pretrained on ImageNet-12k"
FIGURES: dict[str, Figures] = {
    "rexnet_100": Figures(77.862, 93.890, 224, TIMM),
    "rexnet_130": Figures(79.492, 94.680, 224, TIMM),
    "rexnet_150": Figures(80.322, 95.164, 224, TIMM),
    "rexnet_200": Figures(81.636, 95.672, 224, TIMM),
    "rexnet_300": Figures(82.780, 96.230, 224, TIMM),
    "rexnetr_200": Figures(83.160, 96.646, 288, _TIMM_12K),
    "rexnetr_300": Figures(84.582, 97.278, 288, _TIMM_12K),
}
FAMILY = Family(
    "ReXNet",
    "Rethinking Channel Dimensions for Efficient Model Design",
    "2007.00992",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
