"""Limits on several costs at once: a genotype within all of them, and how far each cost reaches under the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import LinearConstraint

from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.genotype_cost import GenotypeCost
from search_spaces.pricing.integer_programme import GenotypeProgramme
from search_spaces.pricing.peak import PeakCost

TIGHTER = 1e-6  # the solver's tolerance, by which limits are tightened where it let a genotype through
Genes = tuple[int, ...]


@dataclass(frozen=True)
class Limit:
    """`cost(genotype) <= limit`; `name` is what the cost is called, with its unit (`latency_ms`, `macs`, `params`)."""

    name: str
    cost: GenotypeCost
    limit: float

    def holds(self, genotype: Sequence[int]) -> bool:
        """Whether `genotype` is within it."""
        return self.value(genotype) <= self.limit

    def value(self, genotype: Sequence[int]) -> float:
        """What `genotype` costs."""
        return float(self.cost(np.array([genotype], dtype=np.int64))[0])


def as_typed(value: float) -> str:
    """`value` as a budget is typed: counts in full, milliseconds with six significant digits."""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.6g}"


def find_anchor(limits: Sequence[Limit], genes: int) -> NDArray[np.int64]:
    """A genotype within all `limits`, exactly: the cheapest for one limit, an integer programme for several.

    Raises `ValueError` naming the first limit below its reachable range, or how far each of several limits that exclude
    each other reaches under the others.
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
    best = _least_of(limits, [limit.cost.cheapest() for limit in limits])
    if _excess(limits, best) > 1:
        found = _least_excess(limits)
        if found is None or _excess(limits, found) > 1:
            raise ValueError(_refusal(limits, found))
        best = found
    return np.array(best, dtype=np.int64)


def cheapest_within(cost: GenotypeCost, limits: Sequence[Limit]) -> Genes | None:
    """The genotype of smallest `cost` within all `limits`, exactly up to the solver's 1e-6; None where there is none.

    Of a peak the smallest value is sought by bisection: whether a network has one within a value is a programme too.
    """
    if isinstance(cost, PeakCost):
        values = cost.values()
        found = None
        low, high = 0, len(values)  # values[high:] can be met
        while low < high:
            middle = (low + high) // 2
            genotype = _cheapest_sum(None, [*limits, Limit("", cost, float(values[middle]))])
            if genotype is None:
                low = middle + 1
            else:
                found, high = genotype, middle
        return found
    assert isinstance(cost, AdditiveCost)
    return _cheapest_sum(cost, limits)


def reach_within(cost: AdditiveCost, limits: Sequence[Limit]) -> tuple[float, float] | None:
    """Smallest and largest `cost` of the genotypes within all `limits`; None where there are none."""
    if not limits:
        return cost.reachable()
    least = _cheapest_sum(cost, limits)
    negative = replace(cost, tables=tuple(np.where(np.isfinite(table), -table, np.inf) for table in cost.tables))
    most = _cheapest_sum(negative, limits)
    if least is None or most is None:
        return None
    low, high = cost(np.array([least, most]))
    return float(low), float(high)


def split(limits: Sequence[Limit]) -> tuple[list[tuple[AdditiveCost, float]], list[AdditiveCost]]:
    """The sums among `limits` with their limits, and for each peak among them the sum that forbids what exceeds it."""
    sums, allowed = [], []
    for limit in limits:
        if isinstance(limit.cost, PeakCost):
            allowed.append(limit.cost.within(limit.limit))
        else:
            assert isinstance(limit.cost, AdditiveCost)
            sums.append((limit.cost, limit.limit))
    return sums, allowed


def _cheapest_sum(cost: AdditiveCost | None, limits: Sequence[Limit]) -> Genes | None:
    """The genotype of smallest `cost` (None: any) within `limits`; None where there is none."""
    sums, allowed = split(limits)
    if not all(np.isfinite(each.fixed) for each in allowed):
        return None
    known = [each for each in (cost, *allowed) if each is not None] or [sums[0][0]]
    without = known[0]
    for each in known[1:]:
        without = replace(without, variables=without.variables + each.variables, tables=without.tables + each.tables)
    genotype = without.cheapest()
    if not np.isfinite(without(np.array([genotype]))[0]):
        return None
    if _holds(limits, genotype):
        return genotype
    programme = GenotypeProgramme([*known, *(each for each, _ in sums)])
    rooms = np.array([limit - each.fixed for each, limit in sums])
    prices = programme.prices[len(known) :]
    objective = programme.prices[0] if cost is not None else np.zeros(programme.width)
    scale = max(float(np.abs(objective).max()), 1e-12)
    while True:
        units = np.maximum(np.abs(rooms), 1e-12)
        found = programme.minimise(
            objective / scale, [LinearConstraint(prices / units[:, None], -np.inf, rooms / units)]
        )
        if found is None:
            return next((each.cheapest() for each, _ in sums if _holds(limits, each.cheapest())), None)
        if _holds(limits, found):
            return found
        rooms = rooms - TIGHTER * units


def _holds(limits: Sequence[Limit], genotype: Genes) -> bool:
    return all(limit.holds(genotype) for limit in limits)


def _excess(limits: Sequence[Limit], genotype: Sequence[int]) -> float:
    """The largest share of its limit that a cost of `genotype` is; more than 1: it is over."""
    return max(limit.value(genotype) / limit.limit for limit in limits)


def _least_of(limits: Sequence[Limit], candidates: Sequence[Genes]) -> Genes:
    return min(candidates, key=lambda genotype: _excess(limits, genotype))


def _least_excess(limits: Sequence[Limit]) -> Genes | None:
    """The genotype within the peaks of `limits` that minimises `max_k cost_k / limit_k` of the sums, a last column.

    None where none is within the peaks.
    """
    sums, allowed = split(limits)
    if not sums:
        return _cheapest_sum(None, limits)
    programme = GenotypeProgramme([*(cost for cost, _ in sums), *allowed], extra=1)
    maxima = np.array([limit for _, limit in sums])
    shares = programme.prices[: len(sums)] / maxima[:, None]
    shares[:, -1] = -1.0
    largest = np.zeros(programme.width)
    largest[-1] = 1.0
    fixed = np.array([cost.fixed for cost, _ in sums])
    return programme.minimise(largest, [LinearConstraint(shares, -np.inf, -fixed / maxima)])


def _refusal(limits: Sequence[Limit], closest: Genes | None) -> str:
    """Why no network is within all of `limits`, and what each could be under the others."""
    names = " and ".join(f"{limit.name}={as_typed(limit.limit)}" for limit in limits)
    reached = []
    for limit in limits:
        others = [other for other in limits if other is not limit]
        genotype = cheapest_within(limit.cost, others)
        if genotype is not None:
            reached.append(f"{limit.name} can be {as_typed(limit.value(genotype))}")
    said = f"; under the others {' or '.join(reached)}" if reached else ""
    if closest is not None and not any(isinstance(limit.cost, PeakCost) for limit in limits):
        more = 100 * (_excess(limits, closest) - 1)
        said += f"; the closest one needs {more:.2g}% more; raise one of them by that"
    return f"no network meets {names} together, though each alone is within reach{said}"
