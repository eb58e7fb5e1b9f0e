"""The points of a space that are most like given networks.

A network is described by what it does at every size of map: multiply-adds of dense, of 1x1 and of depthwise
convolutions, blocks, and channels. With these numbers f of a genotype, r of the network and c, a little of each kind,

    distance = sum over sizes and kinds of |log((f + c) / (r + c))|

which is searched by changing one gene at a time, whichever brings it nearest, from a few genotypes at once. All is
array operations: the numbers are additive costs of the space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import AdditiveCost, Floats
from search_spaces.space import Population, SearchSpace

KINDS = ("dense", "pointwise", "depthwise", "blocks", "channels")
LITTLE = {"dense": 2e4, "pointwise": 2e4, "depthwise": 1e4, "blocks": 0.5, "channels": 8.0}
STARTS = 4  # genotypes that each descent begins from
MOST_STEPS = 200


def nearest(space: SearchSpace, archs: Sequence[Arch]) -> Population:
    """For each of `archs` a genotype of `space` whose network is most like it: (n, genes).

    The genotype of the very network where it is a point; else the nearest one that a descent from a few genotypes
    finds, always the same.
    """
    exact = [_encoded(space, arch) for arch in archs]
    missing = [i for i, genes in enumerate(exact) if genes is None]
    found = np.array([[0] * len(space.variables) if genes is None else genes for genes in exact], dtype=np.int64)
    if missing and space.variables:
        found[missing] = _descended(space, [archs[i] for i in missing])
    return found.reshape(len(archs), len(space.variables))


def _encoded(space: SearchSpace, arch: Arch) -> tuple[int, ...] | None:
    try:
        return tuple(space.encode(arch))
    except ValueError:
        return None


def _descended(space: SearchSpace, archs: Sequence[Arch]) -> Population:
    wanted = [_numbers(arch) for arch in archs]
    sizes = {level for numbers in wanted for level, _ in numbers} | {
        _level(layer, shape) for walks in space.walks for steps in walks.values for layer, shape in steps
    }
    features = [(level, kind) for level in sorted(sizes) for kind in KINDS]
    costs = [space.cost(lambda layer, shape, f=f: _number(layer, shape, *f)) for f in features]
    little = np.array([LITTLE[kind] for _, kind in features])
    targets = np.log(np.array([[numbers.get(f, 0.0) for f in features] for numbers in wanted]) + little)
    rng = np.random.default_rng(0)
    middle = space.cardinalities // 2
    starts = np.concatenate([middle[None], space.sample(STARTS - 1, rng)])
    current = np.repeat(starts[None], len(archs), axis=0).reshape(-1, len(space.variables))
    goals = np.repeat(targets, STARTS, axis=0)
    distances = _distances(costs, current, goals, little)
    for _ in range(MOST_STEPS):
        neighbours, owner = _neighbours(space, current)
        others = _distances(costs, neighbours, goals[owner], little)
        order = np.lexsort((others, owner))
        firsts = order[np.unique(owner[order], return_index=True)[1]]
        better = others[firsts] < distances[owner[firsts]] - 1e-9
        if not better.any():
            break
        rows = owner[firsts[better]]
        current[rows], distances[rows] = neighbours[firsts[better]], others[firsts[better]]
    best = distances.reshape(len(archs), STARTS).argmin(axis=1)
    return current.reshape(len(archs), STARTS, -1)[np.arange(len(archs)), best]


def _neighbours(space: SearchSpace, current: Population) -> tuple[Population, np.ndarray]:
    """All genotypes that differ in one gene from a row of `current`, and the number of that row."""
    cardinalities = space.cardinalities
    genes = np.repeat(np.arange(len(cardinalities)), cardinalities - 1)
    shifts = np.concatenate([np.arange(1, count) for count in cardinalities]) if len(genes) else np.zeros(0, int)
    owner = np.repeat(np.arange(len(current)), len(genes))
    found = current[owner].copy()
    rows, columns = np.arange(len(found)), np.tile(genes, len(current))
    found[rows, columns] = (found[rows, columns] + np.tile(shifts, len(current))) % cardinalities[columns]
    return found, owner


def _distances(costs: Sequence[AdditiveCost], population: Population, goals: Floats, little: Floats) -> Floats:
    numbers = np.stack([cost(population) for cost in costs], axis=1)
    found: Floats = np.abs(np.log(numbers + little) - goals).sum(axis=1)  # infinite where no network has these genes
    return found


def _level(layer: Layer, shape: Shape) -> int:
    """The size of the map that `layer` gives: half of the logarithm of its pixels, as a whole number."""
    _, height, width = layer.out_shape(shape)
    return round(math.log2(height * width) / 2)


def _number(layer: Layer, shape: Shape, level: int, kind: str) -> float:
    """What `layer` adds to one number of the description."""
    if _level(layer, shape) != level or layer.role == "classifier":
        return 0.0
    convs = list(layer.convs(shape))
    if kind == "blocks":
        return float(bool(convs))
    if kind == "channels":
        return float(layer.out_shape(shape).channels if convs else 0)
    found = 0.0
    for conv in convs:
        is_depthwise = conv.groups > 1 and conv.groups == conv.in_channels
        own = "depthwise" if is_depthwise else "pointwise" if conv.taps == 1 else "dense"
        found += conv.macs if own == kind else 0
    return found


def _numbers(arch: Arch) -> dict[tuple[int, str], float]:
    """The description of `arch`."""
    found: dict[tuple[int, str], float] = {}
    for layer, shape in arch.walk():
        level = _level(layer, shape)
        for kind in KINDS:
            found[level, kind] = found.get((level, kind), 0.0) + _number(layer, shape, level, kind)
    return found
