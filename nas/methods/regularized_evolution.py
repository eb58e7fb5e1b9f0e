"""Regularized evolution (Real et al., AAAI 2019, arXiv 1802.01548, algorithm 1): the oldest die, not the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.proposal import Proposal
from search_spaces.space import Population

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible


class RegularizedEvolution(CandidateMethod):
    """The first `population_size` candidates are random; then the best of `sample_size` drawn from the last
    `population_size` told has one gene changed.

    Departures: a child that was tried before is changed again, so no candidate is trained twice; budgets are met by
    repair (`Feasible.repair`); failed candidates take no place in the population.
    """

    def __init__(self, *, population_size: int, sample_size: int) -> None:
        if not 1 <= sample_size <= population_size:
            raise ValueError(f"sample_size must lie between 1 and population_size={population_size}, got {sample_size}")
        self.population_size, self.sample_size = population_size, sample_size

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Evolution(feasible, seed, self.population_size, self.sample_size)


class _Evolution(Proposal):
    def __init__(self, feasible: Feasible, seed: int, population_size: int, sample_size: int) -> None:
        super().__init__(feasible, seed)
        self.population_size, self.sample_size = population_size, sample_size

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        alive = np.isfinite(self.scores)
        told, scores = self.told[alive], self.scores[alive]
        searched = np.flatnonzero(self.space.cardinalities > 1)
        if len(told) < self.population_size or not len(searched):
            return self.feasible.sample(2 * count, rng)
        told, scores = told[-self.population_size :], scores[-self.population_size :]
        found = np.zeros((0, told.shape[1]), dtype=np.int64)
        for changes in (1, 1, 1, 2, 2, 3):  # further away only where all neighbours are known
            drawn = rng.random((8 * count, len(told))).argpartition(self.sample_size - 1, axis=1)[:, : self.sample_size]
            children = told[drawn[np.arange(len(drawn)), scores[drawn].argmax(axis=1)]].copy()
            rows = np.arange(len(children))
            for _ in range(changes):
                genes = rng.choice(searched, size=len(children))
                sizes = self.space.cardinalities[genes]
                children[rows, genes] = (children[rows, genes] + rng.integers(1, sizes)) % sizes
            found = np.concatenate([found, self._new(self.feasible.repair(children, rng), count - len(found), found)])
            if len(found) == count:
                break
        return found
