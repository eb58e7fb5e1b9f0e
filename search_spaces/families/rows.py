"""Rows of the tables that papers of hand-made and searched mobile networks print, as layers at any width and depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search_spaces.blocks import DepthwiseSeparable, InvertedResidual, Layer, SqueezeExcite
from search_spaces.costs import make_divisible


@dataclass(frozen=True)
class Row:
    """`repeats` blocks of `channels`, the first of them with `stride`.

    A depthwise-separable block where `expand_ratio` is 1, an inverted residual else.
    """

    kernel_size: int
    expand_ratio: float
    channels: int
    repeats: int = 1
    stride: int = 1
    act: str = "relu"
    se: SqueezeExcite | None = None
    residual: bool = True
    padding: str = "symmetric"

    def layers(self, width: float, repeats: int) -> tuple[Layer, ...]:
        """`repeats` blocks with `width` times the channels, rounded to multiples of 8."""
        return tuple(
            self._layer(make_divisible(self.channels * width), self.stride if i == 0 else 1) for i in range(repeats)
        )

    def _layer(self, channels: int, stride: int) -> Layer:
        padding = self.padding if stride > 1 else "symmetric"
        if self.expand_ratio == 1:
            return DepthwiseSeparable(
                channels, self.kernel_size, stride, self.act, self.se, self.residual, padding=padding
            )
        return InvertedResidual(
            channels,
            self.kernel_size,
            stride,
            self.expand_ratio,
            act=self.act,
            se=self.se,
            residual=self.residual,
            padding=padding,
        )


def stage(
    rows: Sequence[Row], width: float = 1.0, depth: float = 1.0, whole: Callable[[float], int] = math.ceil
) -> tuple[Layer, ...]:
    """The layers of one stage with `width` times the channels and `depth` times the blocks, made `whole`."""
    counts = scaled_repeats([row.repeats for row in rows], depth, whole)
    return tuple(layer for row, count in zip(rows, counts, strict=True) for layer in row.layers(width, count))


def scaled_repeats(repeats: Sequence[int], depth: float, whole: Callable[[float], int] = math.ceil) -> list[int]:
    """How often each row of a stage is repeated in a network `depth` times as deep, as in timm's nets.

    The stage has `whole(depth * sum(repeats))` blocks, at least one. From the last row to the first, each row takes its
    share of what is left, rounded (a half to even), at least one.
    """
    before, after = sum(repeats), max(1, whole(sum(repeats) * depth))
    counts: list[int] = []
    for count in reversed(repeats):
        counts.insert(0, max(1, round(count / before * after)))
        before, after = before - count, after - counts[0]
    return counts


def stages(
    table: Iterable[Sequence[Row]], width: float = 1.0, depth: float = 1.0, whole: Callable[[float], int] = math.ceil
) -> list[tuple[Layer, ...]]:
    """`stage` of every stage in `table`."""
    return [stage(rows, width, depth, whole) for rows in table]


def stages_between(table: Sequence[Sequence[Row]], width: float = 1.0, depth: float = 1.0) -> list[tuple[Layer, ...]]:
    """`stages` whose first and last stage keep their depth."""
    return [stage(table[0], width), *stages(table[1:-1], width, depth), stage(table[-1], width)]


def widened(layer: Layer, width: float) -> Layer:
    """`layer` with `width` times its output channels, rounded to multiples of 8."""
    block: Any = layer
    return replace(block, out_channels=make_divisible(block.out_channels * width))


def stage_from(first: Layer, repeats: int, width: float = 1.0, depth: float = 1.0) -> tuple[Layer, ...]:
    """A stage that begins with `first`: `depth` times `repeats` blocks, rounded up; further ones have stride 1."""
    block: Any = widened(first, width)
    return (block, *[replace(block, stride=1)] * (math.ceil(repeats * depth) - 1))
