"""The Single-Path NAS space and its published network (Stamoulis et al., ECML-PKDD 2019, arXiv 1904.02877).

20 searched blocks in five stages, between a fixed stem and first block and a fixed last block and head. Two geometries:
`paper` (224 pixels, total stride 32) and `small` (stem stride 1, stage strides 1 2 2 1 2, total stride 8, as the FBNet
space has it for small images), chosen by resolution unless named.
"""

from __future__ import annotations

from collections.abc import Sequence

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, Skip, SqueezeExcite
from search_spaces.costs import round_up
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.geometry import Geometry, geometry_of, is_tiny
from search_spaces.plain_data.annotations import AboveZero, Positive
from search_spaces.resolution import Pixels, Resolution
from search_spaces.space import LayerwiseSpace

STEM_CHANNELS = 32
STEM_STRIDE = {"paper": 2, "small": 1}
FIRST_CHANNELS = 16  # a depthwise-separable block without residual
STAGE_CHANNELS = (24, 40, 80, 96, 192)
STAGE_DEPTHS = (4, 4, 4, 4, 4)
STAGE_STRIDES = {"paper": (2, 2, 2, 1, 2), "small": (1, 2, 2, 1, 2)}
LAST_CHANNELS = 320  # a 3x3 block of expansion 6 without residual
HEAD_CHANNELS = 1280


def block(name: str, out_channels: int, stride: int) -> Layer:
    """The searched block called `name`: `skip`, or `k<kernel>_e<expansion>`."""
    if name == "skip":
        return Skip(out_channels, stride)
    kernel, expand = name.split("_")
    return InvertedResidual(out_channels, int(kernel[1:]), stride, float(expand[1:]))


def single_path(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    width: AboveZero | None = None,
    head_channels: Positive = HEAD_CHANNELS,
    geometry: Geometry = "auto",
    kernels: Sequence[int] = (3, 5),
    expansions: Sequence[float] = (3, 6),
    se_ratios: Sequence[float] = (0.0,),
    skip: bool = True,
) -> LayerwiseSpace:
    """The Single-Path search space: 4^5 * 5^15 = 3.1e13 networks.

    Every searched block is an inverted residual of a kernel of `kernels`, an expansion of `expansions` and, beyond the
    paper, squeeze-and-excitation of a ratio of `se_ratios` (0: none; relative to the block's input channels), in every
    combination. With `skip`, the second to fourth block of each stage (15 of 20) can be left out.

    `resolution` in pixels; `width` multiplies stem, stage and last-block channels, rounded up to multiples of 8 (None:
    1.0, or 0.5 for images below `TINY_BELOW` pixels); `head_channels` is not scaled. Raises `ValueError` for empty or
    repeated choices, an unknown geometry, or a width that is not positive.
    """
    geometry = geometry_of(resolution, geometry, "Single-Path")
    width = (0.5 if is_tiny(resolution) else 1.0) if width is None else width
    check_multipliers(width=width)
    for name, choices in (("kernels", kernels), ("expansions", expansions), ("se_ratios", se_ratios)):
        if not choices or len(set(choices)) != len(choices):
            raise ValueError(f"{name} must be a list of different numbers, got {list(choices)}")

    def scaled(channels: int) -> int:
        return round_up(channels * width)

    def candidates(out_channels: int, stride: int, optional: bool) -> list[Layer]:
        found: list[Layer] = [
            InvertedResidual(out_channels, kernel, stride, expansion, se=SqueezeExcite(ratio) if ratio else None)
            for ratio in se_ratios
            for kernel in kernels
            for expansion in expansions
        ]
        return [*found, Skip(out_channels)] if optional else found

    slots: list[list[list[Layer]]] = [
        [[ConvBNAct(scaled(STEM_CHANNELS), 3, STEM_STRIDE[geometry])]],
        [[DepthwiseSeparable(scaled(FIRST_CHANNELS), residual=False)]],
    ]
    for channels, depth, stride in zip(STAGE_CHANNELS, STAGE_DEPTHS, STAGE_STRIDES[geometry], strict=True):
        slots.append([candidates(scaled(channels), stride if i == 0 else 1, skip and i > 0) for i in range(depth)])
    slots.append([[InvertedResidual(scaled(LAST_CHANNELS), 3, residual=False)]])
    slots.append([[ConvBNAct(head_channels)], [Classifier(num_classes)]])
    return LayerwiseSpace("single_path", resolution, slots, in_channels)


# One block name per searched layer; see docs/networks.md for the source.
PUBLISHED: dict[str, str] = {
    "spnasnet_100": (
        "k3_e3 k3_e3 k3_e3 skip  k5_e6 k3_e3 k3_e3 k3_e3  k5_e6 k3_e3 k3_e3 k3_e3  "
        "k5_e6 k5_e3 k5_e3 k5_e3  k5_e6 k5_e6 k5_e6 k5_e6"
    ),
}


def _arch(form: str, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    names = iter(form.split())
    stages: list[tuple[Layer, ...]] = [
        (ConvBNAct(STEM_CHANNELS, 3, 2),),
        (DepthwiseSeparable(FIRST_CHANNELS, residual=False),),
    ]
    for channels, depth, stride in zip(STAGE_CHANNELS, STAGE_DEPTHS, STAGE_STRIDES["paper"], strict=True):
        stages.append(tuple(block(next(names), channels, stride if i == 0 else 1) for i in range(depth)))
    stages.append((InvertedResidual(LAST_CHANNELS, 3, residual=False),))
    stages.append((ConvBNAct(HEAD_CHANNELS), Classifier(num_classes)))
    return Arch(resolution or 224, tuple(stages), in_channels)


FIGURES: dict[str, Figures] = {
    "spnasnet_100": Figures(74.086, 91.826, 224, TIMM),
}
FAMILY = Family(
    "Single-Path NAS",
    "Single-Path NAS: Designing Hardware-Efficient ConvNets in less than 4 Hours",
    "1904.02877",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
