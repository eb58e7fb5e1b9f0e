"""Channels as a function of block index: the forms that ReXNet's paper compares (arXiv 2007.00992, section 4).

Each form adds its variables to a chain and returns a function from block index (a choice: it moves with the depth) to
that block's channels. Blocks are counted from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor

from search_spaces.choices import Chain, Choice, combine
from search_spaces.costs import make_divisible

ChannelsAt = Callable[[Choice], Choice]


def rounded(channels: float, divisor: int) -> int:
    """Whole channels: to even at one half, as the authors' code rounds, then by `make_divisible` to `divisor`.

    What a sum misses a half by (1e-9) does not count.
    """
    return make_divisible(round(round(channels, 9)), divisor)


def linear(
    chain: Chain, count: Choice, firsts: Sequence[float], growths: Sequence[float], divisor: int = 1
) -> ChannelsAt:
    """`c_i = first + i * growth / count`: ReXNet's own form, the paper's `a * i + b`.

    `count`: how many blocks there are; `growth`: channels gained over the whole depth (the last block has one step
    less). The published net of width w has first = 16 w and growth = 180 w.
    """
    first, growth = chain.choice("first.channels", firsts), chain.choice("growth", growths)
    return lambda index: combine(lambda i, n, b, g: rounded(b + i * g / n, divisor), index, count, first, growth)


def piecewise(
    chain: Chain, count: int, line: tuple[float, float], bends: Sequence[float], knots: int, divisor: int = 1
) -> ChannelsAt:
    """Piecewise linear in the block index, through `knots` points evenly spaced from the first to the last block.

    Every point lies `bend` times as high as the straight `line` (channels of the first and of the last block), `bend`
    one of `bends`: equal bends are straight lines. Curves may fall.
    """
    if not 2 <= knots <= count:
        raise ValueError(f"{chain.name}: knots must lie between 2 and the number of blocks, {count}; got {knots}")
    low, high = line
    points = []
    for m in range(knots):
        on_line = low + (high - low) * m / (knots - 1)
        bend = chain.choice(f"knot{m}.bend", bends)
        points.append(combine(lambda b, height=on_line: b * height, bend))

    def at(index: Choice) -> Choice:
        place = index.value(()) * (knots - 1) / (count - 1)
        below, above = points[floor(place)], points[ceil(place)]
        share = place - floor(place)
        return combine(lambda a, b: rounded(a + share * (b - a), divisor), below, above)

    return at


def free(chain: Chain, count: int, grid: Sequence[int]) -> ChannelsAt:
    """Every block with channels of its own, from the ascending `grid`."""
    if list(grid) != sorted(set(grid)) or not all(channels >= 1 for channels in grid):
        raise ValueError(f"{chain.name}: grid must list rising numbers of channels, got {list(grid)}")
    blocks = [chain.choice(f"block{i}.channels", grid) for i in range(count)]
    return lambda index: blocks[index.value(())]
