"""How far apart networks are, and the best of a ranking that are no near copies of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from search_spaces.space import Genotype, SearchSpace
from search_spaces.wrappers.joint import JointSpace


def canonical(space: SearchSpace, genotype: Genotype) -> Genotype:
    """The one genotype that stands for all that describe the same network (and recipe) as `genotype`.

    Genes of blocks that a depth leaves out say nothing; here they are what the space writes for that network.
    """
    arch = space.decode(genotype)
    return space.encode(arch, space.recipe(genotype)) if isinstance(space, JointSpace) else space.encode(arch)


def distance(one: Genotype, other: Genotype) -> int:
    """In how many choices two networks differ, by their canonical genotypes (Hamming's distance)."""
    return sum(a != b for a, b in zip(one, other, strict=True))


def apart(ranked: Iterable[Genotype], least: int) -> Iterator[Genotype]:
    """Those of `ranked` that differ from each one taken before them in `least` genes."""
    taken: list[Genotype] = []
    for genotype in ranked:
        if all(distance(genotype, other) >= least for other in taken):
            taken.append(genotype)
            yield genotype
