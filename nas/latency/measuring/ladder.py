"""The reference networks: a ladder of sizes, so that a network is compared with one that feels the machine as it does.

A neighbour that streams memory slows a network whose weights fill the caches by a third and one of a hundred kilobytes
not at all. What stands beside a workload is therefore a network that touches about as many numbers.
"""

from __future__ import annotations

import math
from functools import cache

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer
from search_spaces.blocks.pooled_conv import PooledConv
from search_spaces.costs import Shape
from search_spaces.families.fbnet import published

# Side of the image in pixels, and of each stage of blocks: channels, blocks.
_SMALL = {
    "16k": (8, ((8, 1), (16, 2))),
    "120k": (16, ((16, 1), (24, 2), (40, 2))),
    "500k": (24, ((16, 1), (32, 2), (64, 2), (96, 2))),
    "2m": (32, ((32, 2), (64, 3), (112, 3), (184, 3))),
}


@cache
def ladder() -> dict[str, Arch]:
    """The reference networks by their names, the smallest first.

    `6m` is FBNet-C at 64 pixels: 33 million multiply-adds, and more weights than caches hold. The same for all tables
    of a device, so that their times compare.
    """
    large = {"6m": published("fbnetc_100", resolution=64), "12m": published("fbnetc_100", resolution=224)}
    return {**{name: _network(*of) for name, of in _SMALL.items()}, **large}


def _network(side: int, stages: tuple[tuple[int, int], ...]) -> Arch:
    """A stem, stages of a dense convolution and bottlenecks, each but the first at half the size, and a head."""
    blocks: list[tuple[Layer, ...]] = []
    for i, (channels, depth) in enumerate(stages):
        first = ConvBNAct(channels, 3, stride=2 if i else 1)
        blocks.append((first, *(InvertedResidual(channels, 3, expand_ratio=3) for _ in range(depth))))
    head = (PooledConv(2 * stages[-1][0]), Classifier(10))
    return Arch(side, ((ConvBNAct(stages[0][0], 3),), *blocks, head))


def numbers_of(arch: Arch) -> int:
    """How many numbers one image through `arch` touches: weights, and what each layer gives."""
    return arch.params + arch.activations


def numbers_of_row(layer: Layer, shape: Shape) -> int:
    """The same of one layer on an input of `shape`."""
    cost = layer.cost(shape)
    return cost.params + cost.activations + math.prod(shape)


def rung_of(numbers: int) -> str:
    """The reference that is nearest in size to a workload that touches so many `numbers`, as a ratio."""
    return min(_sizes(), key=lambda name: abs(math.log(max(numbers, 1) / _sizes()[name])))


@cache
def _sizes() -> dict[str, int]:
    return {name: numbers_of(arch) for name, arch in ladder().items()}
