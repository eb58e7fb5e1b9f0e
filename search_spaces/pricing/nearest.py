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
from functools import cache, cached_property, partial

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
    return NearestPoints(space)(archs)


class NearestPoints:
    """`nearest` of one space, whose description is compiled once."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def __call__(self, archs: Sequence[Arch], known: Sequence[Population] | None = None) -> Population:
        """As `nearest`; `known`: for each of `archs` genotypes (n, genes) that may be nearer than what descents find,
        such as those of other widths of it: one gene at a time, they stop short where a kind of block and its channels
        would have to change together."""
        exact = [self.encoded(arch) for arch in archs]
        missing = [i for i, genes in enumerate(exact) if genes is None]
        genes = len(self.space.variables)
        found = np.array([[0] * genes if point is None else point for point in exact], dtype=np.int64)
        found = found.reshape(len(archs), genes)
        if missing and genes:
            found[missing] = self.descended([archs[i] for i in missing])
        if known is not None:
            for i in missing:
                points = np.concatenate([found[i][None], known[i]])
                found[i] = points[self._distances(points, self._described([archs[i]])).argmin()]
        return found

    def descended(self, archs: Sequence[Arch], starts: Population | None = None) -> Population:
        """What the descents find, also of networks that are points; `starts`: genotypes to begin from (n, genes)."""
        space, targets = self.space, self._described(archs)
        if starts is None:
            chance = space.sample(STARTS - 1, np.random.default_rng(0))
            starts = np.concatenate([space.cardinalities[None] // 2, chance])
        current = np.repeat(starts[None], len(archs), axis=0).reshape(-1, len(space.variables))
        goals = np.repeat(targets, len(starts), axis=0)
        distances = self._distances(current, goals)
        for _ in range(MOST_STEPS):
            neighbours, owner = _neighbours(space, current)
            others = self._distances(neighbours, goals[owner])
            order = np.lexsort((others, owner))
            firsts = order[np.unique(owner[order], return_index=True)[1]]
            better = others[firsts] < distances[owner[firsts]] - 1e-9
            if not better.any():
                break
            rows = owner[firsts[better]]
            current[rows], distances[rows] = neighbours[firsts[better]], others[firsts[better]]
        best = distances.reshape(len(archs), len(starts)).argmin(axis=1)
        found: Population = current.reshape(len(archs), len(starts), -1)[np.arange(len(archs)), best]
        return found

    @cached_property
    def _features(self) -> list[tuple[int, str]]:
        steps = {step for walks in self.space.walks for steps in walks.values for step in steps}
        return [(level, kind) for level in sorted({_level(*step) for step in steps}) for kind in KINDS]

    @cached_property
    def _little(self) -> Floats:
        return np.array([LITTLE[kind] for _, kind in self._features])

    @cached_property
    def _costs(self) -> list[AdditiveCost]:
        return [self.space.cost(partial(_number, *feature)) for feature in self._features]

    def _described(self, archs: Sequence[Arch]) -> Floats:
        """The logarithms of the numbers of `archs`: (archs, features)."""
        numbers = np.array([[_numbers(arch).get(feature, 0.0) for feature in self._features] for arch in archs])
        described: Floats = np.log(numbers + self._little)
        return described

    def _distances(self, population: Population, goals: Floats) -> Floats:
        numbers = np.stack([cost(population) for cost in self._costs], axis=1)
        found: Floats = np.abs(np.log(numbers + self._little) - goals).sum(axis=1)
        return found  # infinite where no network has these genes

    def encoded(self, arch: Arch) -> tuple[int, ...] | None:
        """The genotype of `arch`; None where it is no point of the space."""
        try:
            return tuple(self.space.encode(arch))
        except ValueError:
            return None


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


def _level(layer: Layer, shape: Shape) -> int:
    """The size of the map that `layer` gives: half of the logarithm of its pixels, as a whole number."""
    _, height, width = layer.out_shape(shape)
    return round(math.log2(height * width) / 2)


def _number(level: int, kind: str, layer: Layer, shape: Shape) -> float:
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


@cache
def _numbers(arch: Arch) -> dict[tuple[int, str], float]:
    """The description of `arch`."""
    found: dict[tuple[int, str], float] = {}
    for layer, shape in arch.walk():
        level = _level(layer, shape)
        for kind in KINDS:
            found[level, kind] = found.get((level, kind), 0.0) + _number(level, kind, layer, shape)
    return found
