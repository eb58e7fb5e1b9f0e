"""Spaces in which some choices never fall: their genes are read in ascending order."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.composed import ComposedSpace
from search_spaces.costs import Shape
from search_spaces.pricing.genotype_cost import CostKind, ascending
from search_spaces.space import Term


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

    def compiled(self, kind: type[CostKind], price: Callable[[Layer, Shape], float], fixed: float) -> CostKind:
        return dataclasses.replace(super().compiled(kind, price, fixed), rising=self.rising)
