"""How far apart networks are, and the best of a ranking that are no near copies of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces.space import Genotype, SearchSpace
from search_spaces.wrappers.joint import JointSpace
from search_spaces.wrappers.silent import SilentGenes


@dataclass(frozen=True)
class Apart:
    """When two genotypes are networks to be had beside each other: where they differ in `least` genes that say
    something. `silent`: which ones say nothing (None: all say something)."""

    least: int = 1
    silent: SilentGenes | None = None

    def own(self, genotype: Genotype) -> Genotype:
        """`genotype` with its silent genes at choice 0."""
        return genotype if self.silent is None else tuple(self.silent.blank(np.array([genotype]))[0].tolist())

    def heard(self, genotype: Genotype) -> NDArray[np.bool_]:
        """Which genes of `genotype` say something, (genes,)."""
        if self.silent is None:
            return np.ones(len(genotype), dtype=bool)
        return ~self.silent.mask(np.array([genotype]))[0]

    def __call__(self, one: Genotype, other: Genotype) -> bool:
        """Whether these two are apart."""
        return distance(self.own(one), self.own(other)) >= self.least


def canonical(space: SearchSpace, genotype: Genotype) -> Genotype:
    """The one genotype that stands for all that describe the same network (and recipe) as `genotype`.

    Genes of blocks that a depth leaves out say nothing; here they are what the space writes for that network.
    """
    arch = space.decode(genotype)
    return space.encode(arch, space.recipe(genotype)) if isinstance(space, JointSpace) else space.encode(arch)


def distance(one: Genotype, other: Genotype) -> int:
    """In how many choices two networks differ, by their canonical genotypes (Hamming's distance)."""
    return sum(a != b for a, b in zip(one, other, strict=True))


def apart(ranked: Iterable[Genotype], how: Apart) -> Iterator[Genotype]:
    """Those of `ranked` that are apart from each one taken before them."""
    taken: list[Genotype] = []
    for genotype in ranked:
        own = how.own(genotype)
        if all(distance(own, other) >= how.least for other in taken):
            taken.append(own)
            yield genotype
