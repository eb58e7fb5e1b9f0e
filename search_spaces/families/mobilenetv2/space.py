"""Two spaces around MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381, Table 2).

`mobilenetv2`: channels, depth, kernel and expansion of every stage. `mobilenetv2_layerwise`: channels and depth fixed,
kernel and expansion of every block, so that supernets can be trained on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, Skip
from search_spaces.choices import Chain, combine, repeated
from search_spaces.composed import ComposedSpace
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_choices, check_multipliers
from search_spaces.families.geometry import Geometry, geometry_of, resolutions_of
from search_spaces.families.mobilenetv2.published import ACT, HEAD_CHANNELS, STAGES, STEM_CHANNELS
from search_spaces.plain_data.annotations import AboveZero, Positive
from search_spaces.resolution import Pixels, pixels
from search_spaces.space import LayerwiseSpace

WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.1, 1.2, 1.3, 1.4)  # multipliers of the published nets
DEPTHS = (1.0, 1.2, 1.4)
SMALL_WIDTHS = (0.25, 0.375, 0.5)  # of the small geometry, where the card names none
STEM_STRIDE = {"paper": 2, "small": 1}
STAGE_STRIDES = {"paper": tuple(stride for *_, stride in STAGES), "small": (1, 1, 2, 2, 1, 2, 1)}


def mobilenetv2(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    widths: Sequence[float] | None = None,
    depths: Sequence[float] = DEPTHS,
    kernels: Sequence[int] = (3, 5),
    expansions: Sequence[float] = (3, 6),
    head_channels: Positive = HEAD_CHANNELS,
    geometry: Geometry = "auto",
    resolutions: Sequence[Pixels] | None = None,
) -> ComposedSpace:
    """MobileNetV2 with every stage's channels, depth, kernel and expansion searched; 7.1e12 genotypes.

    `widths` multiply the published channels of stem, stages and head, each stage with a multiplier of its own, rounded
    to multiples of 8; the head is never narrowed below `head_channels`. None: the published multipliers, or
    `SMALL_WIDTHS` in the small geometry. `depths` multiply the repeats of all stages but the first and the last,
    rounded up. `kernels` and `expansions` hold for a whole stage; the first stage has expansion 1. `resolutions`:
    pixels to choose from, None for `resolution` alone. Geometry `small` has total stride 8 instead of 32.

    With the published multipliers every published net is a point of the space, also the depth-scaled ones. Raises
    `ValueError` for lists that are empty or hold a number twice or one that is not positive.
    """
    resolutions = resolutions_of(resolution, resolutions)
    geometry = geometry_of(min(resolutions, key=pixels), geometry, "MobileNetV2")
    if widths is None:
        widths = SMALL_WIDTHS if geometry == "small" else WIDTHS
    check_choices(widths=widths, depths=depths, kernels=kernels, expansions=expansions)
    chain = Chain("mobilenetv2", resolutions, in_channels)
    stem, stem_stride = chain.choice("stem.channels", _scaled(STEM_CHANNELS, widths)), STEM_STRIDE[geometry]
    chain.layer(combine(lambda c: ConvBNAct(c, 3, stem_stride, act=ACT), stem), stem, stem_stride)
    for i, ((expand, channels, repeats, _), stride) in enumerate(zip(STAGES, STAGE_STRIDES[geometry], strict=True)):
        chain.next_stage()
        inner = 0 < i < len(STAGES) - 1
        stage = _Stage(
            f"stage{i + 1}",
            _scaled(channels, widths),
            sorted({ceil(repeats * depth) for depth in depths}) if inner else [repeats],
            stride,
            kernels,
            expansions if expand > 1 else (1,),
        )
        stage.add_to(chain)
    chain.next_stage()
    heads = sorted({max(head_channels, make_divisible(head_channels * width)) for width in widths})
    head = chain.choice("head.channels", heads)
    chain.layer(combine(lambda c: ConvBNAct(c, act=ACT), head), head)
    return chain.space(num_classes)


@dataclass(frozen=True)
class _Stage:
    """A first block of `stride` and its repetitions at stride 1; channels, depth, kernel and expansion are chosen."""

    name: str
    channels: Sequence[int]
    depths: Sequence[int]
    stride: int
    kernels: Sequence[int]
    expansions: Sequence[float]

    def add_to(self, chain: Chain) -> None:
        width = chain.choice(f"{self.name}.channels", self.channels)
        kernel = chain.choice(f"{self.name}.kernel", sorted(self.kernels))
        expansion = chain.choice(f"{self.name}.expand", sorted(self.expansions))
        first = combine(lambda c, k, e: _block(c, k, self.stride, e), width, kernel, expansion)
        chain.layer(first, width, self.stride)
        if max(self.depths) > 1:
            depth = chain.choice(f"{self.name}.depth", self.depths)
            rest = combine(lambda c, k, e: _block(c, k, 1, e), width, kernel, expansion)
            chain.run(combine(lambda layer, n: repeated(layer, n - 1), rest, depth))


def _block(channels: int, kernel: int, stride: int, expansion: float) -> Layer:
    """MobileNetV2's bottleneck; without its first convolution where it does not widen."""
    if expansion == 1:
        return DepthwiseSeparable(channels, kernel, stride, act=ACT)
    return InvertedResidual(channels, kernel, stride, expansion, act=ACT)


def mobilenetv2_layerwise(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    width: AboveZero | None = None,
    kernels: Sequence[int] = (3, 5, 7),
    expansions: Sequence[float] = (3, 6),
    skip: bool = True,
    head_channels: Positive = HEAD_CHANNELS,
    geometry: Geometry = "auto",
) -> LayerwiseSpace:
    """MobileNetV2 with a kernel and an expansion for every block but the first, and fixed channels.

    ProxylessNAS's choices (arXiv 1812.00332, section 4.2), kernels 3, 5, 7 and expansions 3, 6, on the published
    widths and depths; with `skip`, blocks that keep their shape can be left out. `width` multiplies the channels (None:
    1.0, or 0.5 in the small geometry). Every published net of depth 1 at that width is a point of the space. Raises
    `ValueError` for lists that are empty or hold a number twice or one that is not positive.
    """
    geometry = geometry_of(resolution, geometry, "MobileNetV2")
    width = (0.5 if geometry == "small" else 1.0) if width is None else width
    check_multipliers(width=width)
    check_choices(kernels=kernels, expansions=expansions)

    def candidates(channels: int, stride: int, optional: bool) -> list[Layer]:
        blocks = [_block(channels, kernel, stride, e) for kernel, e in itertools.product(kernels, expansions)]
        return [*blocks, Skip(channels)] if optional else blocks

    slots: list[list[list[Layer]]] = [
        [[ConvBNAct(make_divisible(STEM_CHANNELS * width), 3, STEM_STRIDE[geometry], act=ACT)]]
    ]
    for (expand, stage_channels, repeats, _), stride in zip(STAGES, STAGE_STRIDES[geometry], strict=True):
        channels = make_divisible(stage_channels * width)
        if expand == 1:
            slots.append([[_block(channels, 3, stride if i == 0 else 1, 1)] for i in range(repeats)])
        else:
            slots.append([candidates(channels, stride if i == 0 else 1, skip and i > 0) for i in range(repeats)])
    head = max(head_channels, make_divisible(head_channels * width))
    slots.append([[ConvBNAct(head, act=ACT)], [Classifier(num_classes)]])
    return LayerwiseSpace("mobilenetv2_layerwise", resolution, slots, in_channels)


def _scaled(channels: int, widths: Sequence[float]) -> list[int]:
    return sorted({make_divisible(channels * width) for width in widths})
