"""The most probable genotypes within a budget, exactly: an integer programme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.integer_programme import GenotypeProgramme
from search_spaces.pricing.limits import TIGHTER, Limit, cheapest_within, split
from search_spaces.space import Genotype
from search_spaces.wrappers.distance import Apart

PASSED_OVER = 100


def best_under_budget(
    probabilities: Sequence[NDArray[np.float64]],
    cost: AdditiveCost,
    limit: float,
    count: int = 1,
    least: float = -np.inf,
    others: Sequence[Limit] = (),
) -> list[Genotype]:
    """The `count` most probable genotypes with `least <= cost(g) <= limit`, best first, exactly; genes are independent.

    maximise `sum_v log p_v[g_v]` subject to `least <= fixed + sum_t tables_t[g] <= limit` and to `others`, as a
    `GenotypeProgramme`: sums are rows of it, a peak forbids combinations. Each further genotype excludes those found.
    Raises `ValueError` with the reachable range where the limit (ms) is unreachable; gives fewer than `count` (with
    `least`, possibly none) only where no more genotypes lie there. Limits hold to the last bit, `least` to the
    solver's 1e-6.
    """
    return best_apart(probabilities, cost, (least, limit), count, Apart(), others)


def best_apart(
    probabilities: Sequence[NDArray[np.float64]],
    cost: AdditiveCost,
    between: tuple[float, float],
    count: int,
    apart: Apart,
    others: Sequence[Limit] = (),
) -> list[Genotype]:
    """As `best_under_budget` between two costs, each genotype `apart` from all before it.

    One after the other: the most probable, then the most probable of those far enough from it, and so on. Where genes
    are silent it is only nearly the most probable: the programme asks for differences in genes that are heard in those
    before, and what is near one of them all the same is passed over, `PASSED_OVER` times at most.
    """
    least, limit = between
    low, high = cost.reachable()
    cheapest = cheapest_within(cost, others) if others else cost.cheapest()
    if cheapest is None:
        raise ValueError(f"no network is within {' and '.join(other.name for other in others)}")
    low = max(low, float(cost(np.array([cheapest]))[0]))
    if not limit >= low:
        raise ValueError(f"latency budget {limit:.4g} ms is out of reach; this space spans {low:.4g} to {high:.4g} ms")
    sums, allowed = split(others)
    programme = GenotypeProgramme([cost, *(each for each, _ in sums), *allowed])
    prices = programme.prices[: 1 + len(sums)]
    fixed = np.array([cost.fixed, *(each.fixed for each, _ in sums)])
    maxima = np.array([limit, *(most for _, most in sums)])
    minima = np.array([least, *(-np.inf for _ in sums)])
    gain = np.zeros(programme.width)
    gain[: programme.choices] = np.concatenate([np.log(np.clip(p, 1e-300, None)) for p in probabilities])
    cuts: list[LinearConstraint] = []
    found: list[Genotype] = []
    passed_over = 0
    rooms = maxima - fixed
    while len(found) < count:
        totals = np.maximum(np.abs(prices).sum(axis=1), 1e-12)
        units = np.where(np.isfinite(rooms), np.maximum(rooms, 1e-12), totals)
        within = LinearConstraint(prices / units[:, None], (minima - fixed) / units, rooms / units)
        genotype = programme.minimise(-gain, [*cuts, within])
        if genotype is None:  # nothing is left within the limits
            break
        over = np.array([cost(np.array([genotype]))[0], *(each(np.array([genotype]))[0] for each, _ in sums)]) > maxima
        if over.any():
            rooms = np.where(over, rooms - TIGHTER * np.abs(rooms), rooms)
            continue
        if not all(apart(genotype, other) for other in found):
            passed_over += 1
            if passed_over > PASSED_OVER:
                break
            cuts.append(programme.excluding(genotype, apart.heard(genotype)))
            continue
        found.append(genotype)
        cuts.append(programme.excluding(genotype, apart.heard(genotype), apart.least))
    if not found and least <= low:  # the limit is the minimum to the last bits, below what the solver can tell apart
        found.append(cheapest)
    return found
