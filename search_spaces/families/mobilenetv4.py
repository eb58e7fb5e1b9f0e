"""MobileNetV4 (Qin et al., ECCV 2024, arXiv 2404.10518, appendix): the convolutional networks, at any width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, FusedBottleneck, Layer, PooledConv, UniversalBottleneck
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.rows import widened
from search_spaces.resolution import Resolution

HEAD_CHANNELS = 1280
Stages = tuple[tuple[Layer, ...], ...]


def conv(k: int, c: int, s: int = 1) -> Layer:
    """A k x k convolution."""
    return ConvBNAct(c, k, s)


def fused(k: int, e: float, c: int, s: int) -> Layer:
    """Fused inverted bottleneck."""
    return FusedBottleneck(c, k, s, e)


def uib(a: int, k: int, e: float, c: int, s: int = 1) -> Layer:
    """Universal inverted bottleneck: `a`, `k` are the kernels of its start and middle depthwise convolution."""
    return UniversalBottleneck(c, a, k, s, e)


@dataclass(frozen=True)
class Design:
    """A network of the paper at width 1: channels of its stem, pixels of its images, its stages."""

    stem: int
    resolution: int
    stages: Stages


DESIGNS: Mapping[str, Design] = {
    "conv_small": Design(
        32,
        224,
        (
            (conv(3, 32, 2), conv(1, 32)),
            (conv(3, 96, 2), conv(1, 64)),
            (uib(5, 5, 3, 96, 2), *[uib(0, 3, 2, 96)] * 4, uib(3, 0, 4, 96)),
            (uib(3, 3, 6, 128, 2), uib(5, 5, 4, 128), uib(0, 5, 4, 128), uib(0, 5, 3, 128), *[uib(0, 3, 4, 128)] * 2),
            (conv(1, 960),),
        ),
    ),
    "conv_medium": Design(
        32,
        256,
        (
            (fused(3, 4, 48, 2),),
            (uib(3, 5, 4, 80, 2), uib(3, 3, 2, 80)),
            (
                uib(3, 5, 6, 160, 2),
                *[uib(3, 3, 4, 160)] * 2,
                uib(3, 5, 4, 160),
                uib(3, 3, 4, 160),
                uib(3, 0, 4, 160),
                uib(0, 0, 2, 160),
                uib(3, 0, 4, 160),
            ),
            (
                uib(5, 5, 6, 256, 2),
                uib(5, 5, 4, 256),
                *[uib(3, 5, 4, 256)] * 2,
                uib(0, 0, 4, 256),
                uib(3, 0, 4, 256),
                uib(3, 5, 2, 256),
                uib(5, 5, 4, 256),
                *[uib(0, 0, 4, 256)] * 2,
                uib(5, 0, 2, 256),
            ),
            (conv(1, 960),),
        ),
    ),
    "conv_large": Design(
        24,
        384,
        (
            (fused(3, 4, 48, 2),),
            (uib(3, 5, 4, 96, 2), uib(3, 3, 4, 96)),
            (
                uib(3, 5, 4, 192, 2),
                *[uib(3, 3, 4, 192)] * 3,
                uib(3, 5, 4, 192),
                *[uib(5, 3, 4, 192)] * 5,
                uib(3, 0, 4, 192),
            ),
            (
                uib(5, 5, 4, 512, 2),
                *[uib(5, 5, 4, 512)] * 3,
                uib(5, 0, 4, 512),
                uib(5, 3, 4, 512),
                *[uib(5, 0, 4, 512)] * 2,
                uib(5, 3, 4, 512),
                uib(5, 5, 4, 512),
                *[uib(5, 0, 4, 512)] * 3,
            ),
            (conv(1, 960),),
        ),
    ),
}


def mobilenetv4(
    design: str = "conv_small",
    width: float = 1.0,
    resolution: Resolution | None = None,
    num_classes: int = 1000,
    in_channels: int = 3,
) -> Arch:
    """One of `DESIGNS` with `width` times the channels in its stages, at its own resolution unless another is given.

    Channels are rounded to multiples of 8 and never fall by more than a tenth; the stem is widened above 1 and never
    narrowed; the convolution behind the pooling keeps its 1280. Raises `ValueError` for other designs and widths.
    """
    if design not in DESIGNS:
        raise ValueError(f"unknown MobileNetV4 design {design!r}; one of {', '.join(DESIGNS)}")
    check_multipliers(width=width)
    found = DESIGNS[design]

    stem = make_divisible(found.stem * max(width, 1.0))
    stages: Stages = tuple(tuple(widened(layer, width) for layer in stage) for stage in found.stages)
    head = PooledConv(HEAD_CHANNELS, act="relu", norm=True), Classifier(num_classes)
    return Arch(resolution or found.resolution, ((ConvBNAct(stem, 3, 2),), *stages, head), in_channels)


@dataclass(frozen=True)
class Published:
    """Design and width of one published net."""

    design: str
    width: float = 1.0


PUBLISHED: dict[str, Published] = {
    "mobilenetv4_conv_small_035": Published("conv_small", 0.35),
    "mobilenetv4_conv_small_050": Published("conv_small", 0.5),
    "mobilenetv4_conv_small": Published("conv_small"),
    "mobilenetv4_conv_medium": Published("conv_medium"),
    "mobilenetv4_conv_large": Published("conv_large"),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return mobilenetv4(form.design, form.width, resolution, num_classes, in_channels)


FIGURES: dict[str, Figures] = {
    "mobilenetv4_conv_small": Figures(73.730, 91.426, 224, TIMM),
    "mobilenetv4_conv_medium": Figures(79.922, 95.186, 256, TIMM),
    "mobilenetv4_conv_large": Figures(82.974, 96.244, 384, TIMM),
}
FAMILY = Family(
    "MobileNetV4",
    "MobileNetV4: Universal Models for the Mobile Ecosystem",
    "2404.10518",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
