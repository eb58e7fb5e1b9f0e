"""The FBNetV3 architecture space (Dai et al., CVPR 2021, arXiv 2006.02049, Table 1 of its appendix).

Resolution, and per stage: channels, depth, kernel and expansion, the last two apart for the first block and the rest.

Departure: one kernel for a stage's first block and one for the rest; the published table (7.9e19 networks, printed as
1e17) reads as one kernel a stage, but all seven released nets mix them. Expanded channels are rounded to
multiples of 8, as the released nets are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from search_spaces.blocks import ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, PooledConv
from search_spaces.choices import Chain, Choice, combine, constant, repeated
from search_spaces.composed import ComposedSpace
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.fbnetv3.published import ACT, HEAD_CHANNELS, SE, STAGE_SE, STAGE_STRIDES
from search_spaces.families.geometry import Geometry, geometry_of, is_tiny, resolutions_of
from search_spaces.plain_data.annotations import AboveZero, Positive
from search_spaces.resolution import Pixels, pixels

RESOLUTIONS = tuple(range(224, 273, 8))  # the paper's
KERNELS = (3, 5)
FIRST_EXPANDS, REST_EXPANDS, LAST_EXPAND = (4, 5, 6, 7), (2, 3, 4, 5), 6

Channels = Literal["paper", "released"]


def _steps(low: int, high: int, step: int) -> tuple[int, ...]:
    return tuple(range(low, high + 1, step))


@dataclass(frozen=True)
class Table:
    """Choices of channels per stage 0 (stem) to 7, and of stage 7's depth."""

    channels: tuple[tuple[int, ...], ...]
    last_depths: tuple[int, ...]


# "released": multiples of 8 over the published ranges, wide enough for the released nets A to G.
TABLES: dict[str, Table] = {
    "paper": Table(
        (
            _steps(16, 24, 2),
            _steps(16, 24, 2),
            _steps(20, 32, 4),
            _steps(24, 48, 4),
            _steps(56, 84, 4),
            _steps(96, 144, 4),
            _steps(180, 224, 4),
            _steps(180, 224, 4),
        ),
        (1,),
    ),
    "released": Table(
        (
            _steps(16, 32, 8),
            _steps(16, 24, 8),
            _steps(24, 40, 8),
            _steps(24, 56, 8),
            _steps(56, 104, 8),
            _steps(96, 160, 8),
            _steps(184, 264, 8),
            _steps(184, 288, 8),
        ),
        (1, 2),
    ),
}
FIRST_DEPTHS = _steps(1, 4, 1)
DEPTHS = (_steps(4, 7, 1), _steps(4, 7, 1), _steps(4, 8, 1), _steps(6, 10, 1), _steps(5, 9, 1))  # stages 2 to 6
STEM_STRIDE = {"paper": 2, "small": 1}
STRIDES = {"paper": STAGE_STRIDES, "small": (1, 2, 2, 1, 2)}


def fbnetv3(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    width: AboveZero | None = None,
    depth: AboveZero | None = None,
    head_channels: Positive = HEAD_CHANNELS,
    geometry: Geometry = "auto",
    channels: Channels = "paper",
    resolutions: Sequence[Pixels] | None = None,
) -> ComposedSpace:
    """The FBNetV3 space: 2.5e21 genotypes with the paper's seven resolutions.

    `channels`: the published table's choices, or `released`, which holds every released net. `resolutions`: pixels to
    choose from (the paper: 224 to 272 by 8), None for `resolution` alone. `width` multiplies every channel choice,
    rounded to multiples of 8 and made distinct (None: 1.0, or 0.5 in the small geometry); `depth` the blocks per
    stage, rounded up (None: 1.0, or 0.5 for images below `TINY_BELOW` pixels). `head_channels`: of the last
    convolution, not scaled. Geometry `small` has total stride 8 instead of 32. Raises `ValueError` for an unknown
    table or geometry and for multipliers that are not positive.
    """
    resolutions = resolutions_of(resolution, resolutions)
    if channels not in TABLES:
        raise ValueError(f"unknown table of channels {channels!r}; one of {', '.join(TABLES)}")
    geometry = geometry_of(min(resolutions, key=pixels), geometry, "FBNetV3")
    width = (0.5 if geometry == "small" else 1.0) if width is None else width
    depth = (0.5 if is_tiny(min(resolutions, key=pixels)) else 1.0) if depth is None else depth
    check_multipliers(width=width, depth=depth)
    table = TABLES[channels]
    widths = [_scaled(choices, width) for choices in table.channels]
    chain = Chain("fbnetv3", resolutions, in_channels)
    stem = chain.choice("stem.channels", widths[0])
    stem_stride = STEM_STRIDE[geometry]
    chain.layer(combine(lambda c: ConvBNAct(c, 3, stem_stride, act=ACT), stem), stem, stem_stride)
    chain.next_stage()
    _separable_stage(chain, widths[1], _deep(FIRST_DEPTHS, depth))
    rows = zip(widths[2:7], DEPTHS, STRIDES[geometry], STAGE_SE, strict=True)
    for i, (choices, depths, stride, squeezes) in enumerate(rows):
        chain.next_stage()
        _stage(chain, f"stage{i + 2}", choices, _deep(depths, depth), stride, squeezes)
    last = chain.choice("stage7.channels", widths[7])  # timm counts it to stage 6
    kernel = chain.choice("stage7.kernel", KERNELS)
    block = combine(lambda c, k: InvertedResidual(c, k, 1, LAST_EXPAND, act=ACT, se=SE), last, kernel)
    chain.layer(block, last)
    if len(table.last_depths) > 1:
        count = chain.choice("stage7.depth", table.last_depths)
        chain.run(combine(lambda layer, n: repeated(layer, n - 1), block, count))
    chain.next_stage()
    widened = combine(lambda c: c * LAST_EXPAND, last)
    chain.layer(combine(lambda c: ConvBNAct(c, act=ACT), widened), widened)
    chain.next_stage()
    chain.layer(constant(PooledConv(head_channels, act=ACT)), constant(head_channels))
    chain.pool()
    return chain.space(num_classes)


def _separable_stage(chain: Chain, widths: Sequence[int], depths: Sequence[int]) -> None:
    """Stage 1: depthwise-separable blocks of expansion 1."""
    channels = chain.choice("stage1.channels", widths)
    kernel = chain.choice("stage1.kernel", KERNELS)
    count = chain.choice("stage1.depth", depths)
    block = combine(lambda c, k: DepthwiseSeparable(c, k, act=ACT), channels, kernel)
    chain.layer(block, channels)
    chain.run(combine(lambda layer, n: repeated(layer, n - 1), block, count))


def _stage(chain: Chain, name: str, widths: Sequence[int], depths: Sequence[int], stride: int, squeezes: bool) -> None:
    """Stages 2 to 6: a first block of `stride`, then the rest, alike."""
    channels = chain.choice(f"{name}.channels", widths)
    se = SE if squeezes else None

    def block(part: str, expands: Sequence[int], own_stride: int) -> Choice:
        def built(c: int, k: int, e: int) -> Layer:
            return InvertedResidual(c, k, own_stride, e, act=ACT, se=se)

        kernel = chain.choice(f"{name}.{part}_kernel", KERNELS)
        return combine(built, channels, kernel, chain.choice(f"{name}.{part}_expand", expands))

    chain.layer(block("first", FIRST_EXPANDS, stride), channels, stride)
    count = chain.choice(f"{name}.depth", depths)
    chain.run(combine(lambda layer, n: repeated(layer, n - 1), block("rest", REST_EXPANDS, 1), count))


def _scaled(channels: Sequence[int], width: float) -> tuple[int, ...]:
    """The distinct choices of channels at `width`, rounded as the released nets are (multiples of 8, limit 0.95)."""
    if width == 1:
        return tuple(channels)
    return tuple(sorted({make_divisible(c * width, 8, 0.95) for c in channels}))


def _deep(depths: Sequence[int], depth: float) -> tuple[int, ...]:
    return tuple(sorted({max(1, ceil(n * depth)) for n in depths}))
