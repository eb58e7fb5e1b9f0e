"""Genes that say nothing: choices about blocks that a genotype leaves out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.tabulated import Numbers
from search_spaces.space import Population, SearchSpace


class SilentGenes:
    """Which genes of a genotype no layer depends on, and genotypes in which these are blanked: set to choice 0.

    A gene is silent where every other choice of it, all else equal, leaves every term with the same layers of the same
    shapes. Predictors that see drawn choices of absent blocks take noise for information.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.genes = len(space.variables)
        # per term: its variables, and for each of them where it matters, over the choices of all: (sizes...,)
        self._terms = [
            (term.variables, _matters(walks.numbers))
            for term, walks in zip(space.terms, space.walks, strict=True)
            if term.variables
        ]
        always = np.zeros(self.genes, dtype=bool)
        for variables, matters in self._terms:
            for v, table in zip(variables, matters, strict=True):
                always[v] |= bool(table.all())
        # whether some genotype of the space has a silent gene; of one without layers nothing is known
        self.possible = bool(space.terms) and not always.all()

    @classmethod
    def of(cls, space: SearchSpace) -> SilentGenes | None:
        """Those of `space`; None where every gene of it says something."""
        found = cls(space)
        return found if found.possible else None

    def mask(self, population: Population) -> NDArray[np.bool_]:
        """(n, genes): which genes of `population` (n, genes or more) are silent; more columns are not looked at."""
        heard = np.zeros((len(population), self.genes), dtype=bool)
        for variables, matters in self._terms:
            index = tuple(population[:, v] for v in variables)
            for v, table in zip(variables, matters, strict=True):
                heard[:, v] |= table[index]
        return ~heard

    def blank(self, population: Population) -> Population:
        """`population` with its silent genes at choice 0: equal networks of such a space have equal genotypes."""
        population = np.atleast_2d(population)
        if not self.possible:
            return population
        blanked = population.copy()
        blanked[:, : self.genes][self.mask(population)] = 0
        return blanked


def _matters(runs: Numbers) -> list[NDArray[np.bool_]]:
    """Per axis of `runs`, numbers of runs of layers by genes: where the gene of that axis makes a difference."""
    return [
        np.broadcast_to((runs != runs.take([0], axis=axis)).any(axis=axis, keepdims=True), runs.shape)
        for axis in range(runs.ndim)
    ]
