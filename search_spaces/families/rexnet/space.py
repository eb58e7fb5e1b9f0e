"""The ReXNet space (Han et al., CVPR 2021, arXiv 2007.00992): channels as a function of block index.

Departure: the paper searches the two numbers of a line for fixed budgets; here stem, last convolution, depth, squeeze-
and-excitation and the place of the activations can be searched with them, and the channels can be bent or free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Literal

from search_spaces.blocks import ConvBNAct, Layer, LinearBottleneck, SqueezeExcite
from search_spaces.choices import Chain, Choice, combine
from search_spaces.composed import ComposedSpace
from search_spaces.costs import make_divisible
from search_spaces.families.arguments import check_choices, check_multipliers
from search_spaces.families.geometry import Geometry, geometry_of, resolutions_of
from search_spaces.families.rexnet import channels as rexnet_channels
from search_spaces.families.rexnet.published import (
    FIRST_CHANNELS,
    GROWTH,
    PENULTIMATE_CHANNELS,
    SE_RATIO,
    STAGES,
    STEM_CHANNELS,
)
from search_spaces.plain_data.annotations import Positive, Range
from search_spaces.resolution import Pixels, pixels
from search_spaces.wrappers.monotone import MonotoneSpace

Form = Literal["linear", "piecewise", "free", "monotone"]
FORMS = ("linear", "piecewise", "free", "monotone")
WIDTHS = {"paper": (0.9, 1.0, 1.3, 1.5, 2.0, 2.2, 3.0), "small": (0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75)}
SMALL_FIRSTS = (8, 16, 24)
BENDS = (0.6, 0.8, 1.0, 1.25, 1.5)
GRIDS = {"paper": tuple(range(16, 193, 16)), "small": tuple(range(16, 73, 8))}
SQUEEZES = {"none": (False,) * 6, "late": tuple(squeezes for *_, squeezes in STAGES), "all": (True,) * 6}
# activations behind the expansion and behind the depthwise convolution
ACTS = {"rexnet": ("silu", "relu6"), "silu": ("silu", "silu"), "relu6": ("relu6", "relu6"), "expand_only": ("silu", "")}
STEM_STRIDE = {"paper": 2, "small": 1}
STAGE_STRIDES = {"paper": tuple(stride for _, stride, *_ in STAGES), "small": (1, 1, 2, 2, 1, 2)}


def rexnet(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    channels: Form = "linear",
    widths: Sequence[float] | None = None,
    firsts: Sequence[float] | None = None,
    divisor: Positive = 1,
    bends: Sequence[float] = BENDS,
    knots: Annotated[int, Range(2)] = 4,
    grid: Sequence[int] | None = None,
    depths: Sequence[float] = (1.0,),
    squeezes: Sequence[str] = ("late",),
    acts: Sequence[str] = ("rexnet",),
    geometry: Geometry = "auto",
    resolutions: Sequence[Pixels] | None = None,
) -> ComposedSpace:
    """ReXNets whose channels follow a form that is searched.

    `channels`: `linear`, channels of the first block of `firsts` (None: the published rule, 16 times a width above 1;
    `SMALL_FIRSTS` in the small geometry) and a growth of 180 times one of `widths`; `piecewise`, `knots` points, each
    one of `bends` times as high as the published line at the middle one of `widths`; `free`, every block one of `grid`;
    `monotone`, the same but never falling. Stem and last convolution take the published channels at one of `widths`.
    Channels are rounded to `divisor` (the published nets: 1; the `rexnetr` nets: 8, 300: 16).

    `depths` multiply the blocks per stage, rounded up (more than one only with `linear`). `squeezes`: which stages
    squeeze and excite, of `none, late, all`; `acts`: where activations are, of `rexnet` (SiLU behind the expansion,
    ReLU6 behind the depthwise convolution), `silu` and `relu6` (both), `expand_only`. `resolutions`: pixels to choose
    from, None for `resolution` alone. Geometry `small` has total stride 8 instead of 32. Lists left None are those of
    the geometry. Raises `ValueError` for unknown words and for numbers out of range, with the constraint.
    """
    resolutions = resolutions_of(resolution, resolutions)
    geometry = geometry_of(min(resolutions, key=pixels), geometry, "ReXNet")
    widths = WIDTHS[geometry] if widths is None else tuple(widths)
    grid = GRIDS[geometry] if grid is None else tuple(grid)
    if firsts is None:
        small = geometry == "small"
        firsts = SMALL_FIRSTS if small else sorted({FIRST_CHANNELS * max(width, 1.0) for width in widths})
    check_choices(widths=widths, firsts=firsts, depths=depths, bends=bends)
    check_multipliers(divisor=divisor)
    for key, words, known in (("squeezes", squeezes, SQUEEZES), ("acts", acts, ACTS), ("channels", (channels,), FORMS)):
        unknown = [word for word in words if word not in known]
        if unknown or not words:
            raise ValueError(f"{key} must name some of {', '.join(known)}, got {', '.join(unknown) or 'nothing'}")
    if channels != "linear" and len(depths) > 1:
        raise ValueError(f"{channels} channels need one depth, got depths {list(depths)}; channels=linear takes more")

    chain = Chain("rexnet", resolutions, in_channels)
    stems = sorted({make_divisible(round(STEM_CHANNELS * max(width, 1.0)), divisor) for width in widths})
    stem, stem_stride = chain.choice("stem.channels", stems), STEM_STRIDE[geometry]
    chain.layer(combine(lambda c: ConvBNAct(c, 3, stem_stride, act="silu"), stem), stem, stem_stride)
    depth = chain.choice("depth", depths)
    squeeze = chain.choice("squeeze", squeezes, ordered=False)
    act = chain.choice("act", acts, ordered=False)
    before = len(chain.variables)
    curve = _Curve(channels, widths, firsts, bends, knots, grid, divisor)
    channels_at = curve.added_to(chain, combine(lambda d: sum(_repeats(d)), depth))
    rising = range(before, len(chain.variables))
    for s, stride in enumerate(STAGE_STRIDES[geometry]):
        chain.next_stage()
        for j in range(max(_repeats(d)[s] for d in depths)):
            own_stride = stride if j == 0 else 1
            # a block that a depth does not have keeps the channels of the last one it has
            index = combine(lambda d, s=s, j=j: sum(_repeats(d)[:s]) + min(j, _repeats(d)[s] - 1), depth)
            out = channels_at(index)
            exists = combine(lambda d, s=s, j=j: j < _repeats(d)[s], depth)
            block = combine(_builder(s, own_stride, divisor), exists, out, squeeze, act)
            chain.run(block, out, own_stride)
    chain.next_stage()
    lasts = sorted({make_divisible(PENULTIMATE_CHANNELS * width, divisor) for width in widths})
    last = chain.choice("last.channels", lasts)
    chain.layer(combine(lambda c: ConvBNAct(c, act="silu"), last), last)
    space = chain.space(num_classes)
    return MonotoneSpace(space, rising) if channels == "monotone" else space


@dataclass(frozen=True)
class _Curve:
    """The channels of the blocks: `form`, and the lists it reads, as the arguments of `rexnet` of these names."""

    form: Form
    widths: Sequence[float]
    firsts: Sequence[float]
    bends: Sequence[float]
    knots: int
    grid: Sequence[int]
    divisor: int

    def added_to(self, chain: Chain, count: Choice) -> rexnet_channels.ChannelsAt:
        """The channels at a block index, the form's variables added to `chain`; `count` blocks there are in all."""
        if self.form == "linear":
            growths = sorted({GROWTH * width for width in self.widths})
            return rexnet_channels.linear(chain, count, self.firsts, growths, self.divisor)
        blocks = int(count.value(()))
        if self.form == "piecewise":
            width = sorted(self.widths)[len(self.widths) // 2]
            first = FIRST_CHANNELS * max(width, 1.0)
            line = (first, first + GROWTH * width * (blocks - 1) / blocks)
            return rexnet_channels.piecewise(chain, blocks, line, self.bends, self.knots, self.divisor)
        return rexnet_channels.free(chain, blocks, self.grid)


def _repeats(depth: float) -> list[int]:
    """Blocks per stage at `depth` times the published ones."""
    return [ceil(repeats * depth) for repeats, *_ in STAGES]


def _builder(stage: int, stride: int, divisor: int) -> Callable[[bool, int, str, str], tuple[Layer, ...]]:
    """The function from whether a block exists, its channels, squeeze and activations to its layer, if any."""
    se = SqueezeExcite(SE_RATIO, of="expanded", divisor=divisor, norm=True)
    expand = STAGES[stage][2]

    def built(exists: bool, out_channels: int, squeeze: str, act: str) -> tuple[Layer, ...]:
        if not exists:
            return ()
        behind_expand, behind_depthwise = ACTS[act]
        return (
            LinearBottleneck(
                out_channels,
                stride=stride,
                expand_ratio=expand,
                act=behind_expand,
                dw_act=behind_depthwise,
                se=se if SQUEEZES[squeeze][stage] else None,
                divisor=divisor,
            ),
        )

    return built
