"""ReXNet-like networks of equal parameters and multiply-adds whose channels follow different curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from nas.runs.seeding import numpy_generator
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, LinearBottleneck, SqueezeExcite
from search_spaces.families.rexnet.published import SE_RATIO
from search_spaces.families.rexnet.published import STAGES as REXNET_STAGES
from search_spaces.families.rexnet.space import ACTS, SQUEEZES

REPEATS = tuple(repeats for repeats, *_ in REXNET_STAGES)
BLOCKS = sum(REPEATS)
STRIDES = (1, 1, 2, 1, 1, 2)  # with a stem of stride 2, 16-pixel images end as 2x2 maps
RESOLUTION, STEM = 16, 16
MACS, PARAMS = 3_000_000, 420_000  # lines that meet both grow 3 to 6 times
TOLERANCE = 0.03
FAMILIES = ("linear", "piecewise", "free", "stepped")
POSITIONS = np.linspace(0.0, 1.0, BLOCKS)
Curve = NDArray[np.float64]


@dataclass(frozen=True)
class Configuration:
    """A network to train: what draws it (family, index), its channels, squeeze and activations."""

    family: str
    index: int
    channels: tuple[int, ...]
    last: int
    squeeze: str = "late"
    act: str = "rexnet"

    def arch(self, num_classes: int) -> Arch:
        return build(self.channels, self.last, self.squeeze, self.act, num_classes)


def build(
    channels: tuple[int, ...], last: int, squeeze: str = "late", act: str = "rexnet", num_classes: int = 10
) -> Arch:
    """A ReXNet for small gray images with `channels` behind its blocks and a last convolution of `last` channels."""
    se = SqueezeExcite(SE_RATIO, of="expanded", divisor=1, norm=True)
    behind_expand, behind_depthwise = ACTS[act]
    stages: list[tuple] = [(ConvBNAct(STEM, 3, 2, act=behind_expand),)]
    rest = iter(channels)
    for s, (repeats, stride) in enumerate(zip(REPEATS, STRIDES, strict=True)):
        stages.append(
            tuple(
                LinearBottleneck(
                    next(rest),
                    stride=stride if j == 0 else 1,
                    expand_ratio=REXNET_STAGES[s][2],
                    act=behind_expand,
                    dw_act=behind_depthwise,
                    se=se if SQUEEZES[squeeze][s] else None,
                )
                for j in range(repeats)
            )
        )
    stages.append((ConvBNAct(last, act=behind_expand), Classifier(num_classes)))
    return Arch(RESOLUTION, tuple(stages), 1)


def draw_curve(family: str, rng: np.random.Generator) -> Curve:
    """Channels of every block up to a factor, first block about 1.

    `linear`: growth over the depth log-uniform in 0.5..15 times the first. `piecewise`: such a line bent at four
    evenly spaced knots by factors log-uniform in 0.5..2. `free`: a first of 1 and 15 sorted log-uniform values up to
    such an end. `stepped`: one sorted log-uniform value a stage, as stage-wise networks have them.
    """
    growth = np.exp(rng.uniform(np.log(0.5), np.log(15.0)))
    line = 1.0 + growth * POSITIONS
    if family == "linear":
        return line
    if family == "piecewise":
        bends = np.exp(rng.uniform(-np.log(2.0), np.log(2.0), size=4))
        return line * np.interp(POSITIONS, np.linspace(0.0, 1.0, 4), bends)
    if family == "free":
        return np.concatenate([[1.0], np.sort(np.exp(rng.uniform(0.0, np.log(1.0 + growth), size=BLOCKS - 1)))])
    if family == "stepped":
        return np.repeat(np.sort(np.exp(rng.uniform(0.0, np.log(1.0 + growth), size=len(REPEATS)))), REPEATS)
    raise ValueError(f"unknown family {family!r}; one of {', '.join(FAMILIES)}")


def fit(curve: Curve) -> tuple[tuple[int, ...], int] | None:
    """`curve` scaled, and a last convolution, such that MACs and parameters are the targets to 3%; None where none is.

    The factor is solved for the MACs, the last convolution for the parameters, a few times in turn.
    """
    last = 256
    channels: tuple[int, ...] = ()
    for _ in range(4):
        try:
            scale = brentq(partial(_macs_beyond, curve, last), 2.0, 80.0, xtol=1e-3)
        except ValueError:  # the target lies outside of the bracket
            return None
        channels = _scaled(curve, scale)
        per_channel = channels[-1] + 2 + 10
        spare = PARAMS - build(channels, last).params
        last = max(32, last + round(spare / per_channel))
    arch = build(channels, last)
    inside = abs(arch.macs / MACS - 1) <= TOLERANCE and abs(arch.params / PARAMS - 1) <= TOLERANCE
    return (channels, last) if inside and last <= 2048 else None


def _macs_beyond(curve: Curve, last: int, scale: float) -> float:
    return build(_scaled(curve, scale), last).macs - MACS


def _scaled(curve: Curve, scale: float) -> tuple[int, ...]:
    return tuple(max(4, round(c)) for c in curve * scale)


def configurations(per_family: int, seed: int) -> list[Configuration]:
    """`per_family` of each family, the families in turn, so that a part of them is balanced."""
    streams = {family: _stream(family, seed) for family in FAMILIES}
    return [next(streams[family]) for _ in range(per_family) for family in FAMILIES]


def _stream(family: str, seed: int) -> Iterator[Configuration]:
    index = 0
    for attempt in range(100_000):
        found = fit(draw_curve(family, numpy_generator(seed, "rexnet_channels", family, attempt)))
        if found is not None:
            yield Configuration(family, index, *found)
            index += 1
    raise ValueError(f"no more {family} curves meet the targets; widen TOLERANCE")


def factorial() -> list[Configuration]:
    """Two curves, with and without squeeze-and-excitation, SiLU or ReLU6.

    `line`: first channels to five times as many, `steps`: the same ends in six stages of equal factors. The two are of
    equal cost with squeezes; without, the same channels have fewer parameters, since nothing replaces the squeezes.
    """
    curves = {
        "line": 1.0 + 4.0 * POSITIONS,
        "steps": np.repeat(5.0 ** np.linspace(0.0, 1.0, len(REPEATS)), REPEATS),
    }
    found = []
    for name, curve in curves.items():
        fitted = fit(curve)
        if fitted is None:
            raise ValueError(f"the curve {name} meets the targets at no scale; change MACS or PARAMS")
        found += [
            Configuration(name, 0, *fitted, squeeze, act) for squeeze in ("none", "late") for act in ("relu6", "rexnet")
        ]
    return found
