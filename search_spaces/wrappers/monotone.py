"""Spaces in which some choices never fall: their genes are read in ascending order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.composed import ComposedSpace
from search_spaces.costs import Shape
from search_spaces.pricing.additive import AdditiveCost, Floats, minimum
from search_spaces.space import Genotype, Population, Term


class MonotoneSpace(ComposedSpace):
    """`space` with the genes of `rising` (variables of equal choices) sorted before a genotype is read.

    So every genotype is a network whose choices rise, every such network is a genotype, and genes can still be drawn,
    moved and mixed one by one. `encode` gives the sorted genotype. `size` counts genotypes, not networks.
    """

    def __init__(self, space: ComposedSpace, rising: Sequence[int]) -> None:
        choices = {space.variables[v].choices for v in rising}
        if len(choices) != 1:
            raise ValueError(f"{space.name}: choices that rise together must be the same for all, got {choices}")
        super().__init__(space.name, space.variables, space.terms, space.resolution, space.in_channels)
        self.rising = tuple(rising)

    def decode(self, genotype: Sequence[int]) -> Arch:
        return super().decode(ascending(np.array([self.check(genotype)]), self.rising)[0])

    def possible(self, term: Term) -> NDArray[np.bool_]:
        """Where the rising genes of `term` rise."""
        sizes = [len(self.variables[v]) for v in term.variables]
        genes = dict(zip(term.variables, np.indices(sizes), strict=True))
        rises = np.ones(sizes, dtype=bool)
        for low, high in itertools.pairwise(v for v in sorted(term.variables) if v in self.rising):
            rises &= genes[low] <= genes[high]
        return rises

    def cost(self, price: Callable[[Layer, Shape], float], fixed: float = 0.0) -> AdditiveCost:
        found = super().cost(price, fixed)
        return MonotoneCost(found.fixed, found.variables, found.tables, found.cardinalities, self.rising)


@dataclass(frozen=True)
class MonotoneCost(AdditiveCost):
    """An `AdditiveCost` that sorts the genes of `rising` first; falling combinations cost infinity in its tables."""

    rising: tuple[int, ...] = ()

    def __call__(self, population: NDArray[np.int64]) -> Floats:
        return super().__call__(ascending(np.atleast_2d(population), self.rising))

    def most_expensive(self) -> Genotype:
        tables = tuple(np.where(np.isfinite(table), -table, np.inf) for table in self.tables)
        return minimum(self.variables, tables, self.cardinalities)


def ascending(population: Population, rising: Sequence[int]) -> Population:
    """A copy of `population` (n, variables) with the genes of `rising` in every row sorted."""
    found = np.array(population)
    found[:, rising] = np.sort(found[:, rising], axis=1)
    return found
