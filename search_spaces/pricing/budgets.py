"""The genotypes within several budgets at once: draws, repairs, lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.genotype_cost import Floats
from search_spaces.pricing.limits import Limit, as_typed, find_anchor
from search_spaces.pricing.peak import PeakCost
from search_spaces.space import Population, SearchSpace

__all__ = ["Feasible", "Limit", "as_typed", "find_anchor", "repair"]

ENUMERABLE = 100_000  # spaces up to this size are listed rather than sampled


class Feasible:
    """The genotypes of `space` within every one of `limits` (none: all of them).

    `anchor` is one of them, as cheap as possible; a genotype over budget is repaired by taking over genes of the
    anchor, in random order, until it fits. Raises `ValueError` with the reachable range where nothing fits.
    """

    def __init__(self, space: SearchSpace, limits: Sequence[Limit] = ()) -> None:
        self.space, self.limits = space, tuple(limits)
        self.maxima = np.array([limit.limit for limit in self.limits])
        self.anchor = find_anchor(self.limits, len(space.variables))

    def costs(self, population: Population) -> Floats:
        """(n, limits): the cost of each genotype under each limit."""
        return np.stack([limit.cost(population) for limit in self.limits], axis=1) if self.limits else _none(population)

    def mask(self, population: Population) -> NDArray[np.bool_]:
        """(n,): which genotypes are within all limits."""
        return np.asarray((self.costs(population) <= self.maxima).all(axis=1))

    def best_first(self, population: Population, scores: Floats) -> NDArray[np.int64]:
        """Rows of `population` by falling `scores` (n,), those that are no number left out; of equal scores, of which a
        few hundred validation images give many, the row that uses least of its limits."""
        known = np.flatnonzero(np.isfinite(scores))
        used = self.costs(population[known]) / np.maximum(self.maxima, np.finfo(np.float64).tiny)
        return known[np.lexsort((used.sum(axis=1), -scores[known]))]

    def blame(self, population: Population, maxima: Floats) -> NDArray[np.bool_]:
        """(n, genes): which genes can be changed to bring a genotype nearer to its row of `maxima` (n, limits).

        Any, where a sum is over its limit; where only a peak is, those that it depends on.
        """
        if not any(isinstance(limit.cost, PeakCost) for limit in self.limits):
            return np.ones(population.shape, dtype=bool)
        costs = self.costs(population)
        found = np.zeros(population.shape, dtype=bool)
        for k, limit in enumerate(self.limits):
            for most in np.unique(maxima[:, k]):
                rows = np.flatnonzero((maxima[:, k] == most) & (costs[:, k] > most))
                found[rows] |= limit.cost.blame(population[rows], float(most))
        return found

    def repair(self, population: Population, rng: np.random.Generator) -> Population:
        """A copy of `population` (n, genes) in which every genotype is within all limits."""
        if not self.limits:
            return population.copy()
        return repair(population, self, np.broadcast_to(self.maxima, (len(population), len(self.limits))), rng)

    def sample(self, count: int, rng: np.random.Generator) -> Population:
        """`count` genotypes within the limits, not necessarily distinct: uniform draws, repaired where over budget."""
        return self.repair(self.space.sample(count, rng), rng)

    def enumerate(self) -> Population | None:
        """All genotypes within the limits, in lexicographic order; None for a space too large to list."""
        if self.space.size > ENUMERABLE:
            return None
        sizes = tuple(int(n) for n in self.space.cardinalities)
        everything = np.indices(sizes).reshape(len(sizes), -1).T if sizes else np.zeros((1, 0))
        population = np.ascontiguousarray(everything, dtype=np.int64)
        return population[self.mask(population)]


def _none(population: Population) -> Floats:
    return np.zeros((len(population), 0))


def repair(
    population: Population,
    feasible: Feasible,
    maxima: Floats,
    rng: np.random.Generator,
    anchors: Population | None = None,
) -> Population:
    """`population` with each row i brought within `maxima[i]` (n, limits), by genes of its anchor in random order.

    `anchors`: (n, genes), a genotype within the row's maxima; by default `feasible.anchor` for all.
    """
    population = population.copy()
    anchors = np.broadcast_to(feasible.anchor, population.shape) if anchors is None else anchors
    over = np.flatnonzero(~(feasible.costs(population) <= maxima).all(axis=1))
    turn = rng.random((len(over), population.shape[1]))  # taken over in this order, but those to blame first
    for _ in range(population.shape[1]):
        if not len(over):
            break
        genes = np.where(feasible.blame(population[over], maxima[over]), turn, turn + 1).argmin(axis=1)
        population[over, genes] = anchors[over, genes]
        turn[np.arange(len(over)), genes] = np.inf
        still = ~(feasible.costs(population[over]) <= maxima[over]).all(axis=1)
        over, turn = over[still], turn[still]
    return population
