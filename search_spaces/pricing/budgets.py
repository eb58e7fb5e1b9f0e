"""Budgets on additive costs, several at once, and the genotypes that meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from search_spaces.pricing.additive import AdditiveCost, Floats
from search_spaces.pricing.integer_programme import GenotypeProgramme
from search_spaces.space import Population, SearchSpace

ENUMERABLE = 100_000  # spaces up to this size are listed rather than sampled


@dataclass(frozen=True)
class Limit:
    """`cost(genotype) <= limit`; `name` is what the cost is called, with its unit (`latency_ms`, `macs`, `params`)."""

    name: str
    cost: AdditiveCost
    limit: float


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
    order = rng.random((len(over), population.shape[1])).argsort(axis=1)
    for step in range(population.shape[1]):
        if not len(over):
            break
        genes = order[:, step]
        population[over, genes] = anchors[over, genes]
        still = ~(feasible.costs(population[over]) <= maxima[over]).all(axis=1)
        over, order = over[still], order[still]
    return population


def find_anchor(limits: Sequence[Limit], genes: int) -> NDArray[np.int64]:
    """A genotype within all `limits`, exactly: the cheapest for one limit, an integer programme for several.

    Raises `ValueError` naming the first limit below its reachable range, or by how much several limits together miss.
    """
    if not limits:
        return np.zeros(genes, dtype=np.int64)
    for limit in limits:
        low, high = limit.cost.reachable()
        if not limit.limit >= low:
            raise ValueError(
                f"budget {limit.name}={as_typed(limit.limit)} is out of reach: networks of this space take "
                f"{as_typed(low)} to {as_typed(high)}"
            )
    excess = np.inf
    best = np.zeros(genes, dtype=np.int64)
    for candidate in (np.array(limit.cost.cheapest(), dtype=np.int64) for limit in limits):
        found = max(float(limit.cost(candidate[None])[0] / limit.limit) for limit in limits)
        if found < excess:
            best, excess = candidate, found
    if excess > 1:
        best = _least_excess(limits)
        excess = max(float(limit.cost(best[None])[0] / limit.limit) for limit in limits)
    if excess > 1:
        names = " and ".join(f"{limit.name}={as_typed(limit.limit)}" for limit in limits)
        raise ValueError(
            f"no network meets {names} together, though each alone is within reach; the closest one needs "
            f"{100 * (excess - 1):.2g}% more; raise one of them by that"
        )
    return best


def as_typed(value: float) -> str:
    """`value` as a budget is typed: counts in full, milliseconds with six significant digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


def _least_excess(limits: Sequence[Limit]) -> NDArray[np.int64]:
    """The genotype that minimises `max_k cost_k / limit_k`, the value of a last column."""
    programme = GenotypeProgramme([limit.cost for limit in limits], extra=1)
    maxima = np.array([limit.limit for limit in limits])
    shares = programme.prices / maxima[:, None]
    shares[:, -1] = -1.0
    largest = np.zeros(programme.width)
    largest[-1] = 1.0
    fixed = np.array([limit.cost.fixed for limit in limits])
    found = programme.minimise(largest, [LinearConstraint(shares, -np.inf, -fixed / maxima)])
    if found is None:
        raise RuntimeError("no network has a finite cost under every budget")
    return np.array(found, dtype=np.int64)
