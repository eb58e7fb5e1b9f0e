"""Peaks and sums under limits together, against every genotype of small problems."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from nas.derive.integer_programme import best_under_budget
from search_spaces.families.rexnet.space import rexnet
from search_spaces.memory.counted import Counted
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.budgets import Feasible, Limit, find_anchor
from search_spaces.pricing.limits import cheapest_within, reach_within
from search_spaces.pricing.peak import PeakCost
from search_spaces.space import SearchSpace
from tests.search_spaces.every_kind import every_kind

SIZES = (3, 2, 4, 1, 3)
SCOPES = ((0,), (0, 1), (2, 4), (1, 2))  # neighbouring choices decide together, as with searched widths
EVERYTHING = np.indices(SIZES).reshape(5, -1).T


def problem(seed: int) -> tuple[PeakCost, AdditiveCost, AdditiveCost]:
    """A peak of few values, as blocks of like shapes have, and two sums."""
    rng = np.random.default_rng(seed)
    tables = tuple(rng.integers(1, 9, [SIZES[v] for v in scope]).astype(float) for scope in SCOPES)
    sums = (tuple(rng.random([SIZES[v] for v in scope]) + 0.01 for scope in SCOPES) for _ in range(2))
    return PeakCost(2.0, SCOPES, tables, SIZES), *(AdditiveCost(0.5, SCOPES, found, SIZES) for found in sums)


def within(limits: Sequence[Limit]) -> np.ndarray:
    return np.all([limit.cost(EVERYTHING) <= limit.limit for limit in limits], axis=0)


@pytest.mark.parametrize("seed", range(8))
def test_ends_of_a_peak(seed: int) -> None:
    peak, *_ = problem(seed)
    values = peak(EVERYTHING)
    by_hand = [max(2.0, *(t[tuple(g[list(s)])] for s, t in zip(SCOPES, peak.tables, strict=True))) for g in EVERYTHING]
    np.testing.assert_array_equal(values, by_hand)
    assert peak.reachable() == (values.min(), values.max())
    assert set(values) <= set(peak.values())
    for limit in (values.min() - 1, *np.unique(values)):
        np.testing.assert_array_equal(peak.within(float(limit))(EVERYTHING) == 0, values <= limit)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_reached_under_other_limits_is_exact(seed: int) -> None:
    peak, one, other = problem(seed)
    limits = [
        Limit("peak", peak, float(np.quantile(peak(EVERYTHING), 0.4))),
        Limit("other", other, float(np.quantile(other(EVERYTHING), 0.4))),
    ]
    fits = within(limits)
    assert fits.any()
    assert reach_within(one, limits) == (one(EVERYTHING)[fits].min(), one(EVERYTHING)[fits].max())
    least = cheapest_within(peak, limits[1:])
    assert least is not None and limits[1].holds(least)
    assert limits[0].value(least) == peak(EVERYTHING)[within(limits[1:])].min()
    assert Feasible(_Listed(), limits).mask(find_anchor(limits, 5)[None]).all()


@pytest.mark.parametrize("seed", range(4))
def test_limits_that_exclude_each_other_say_what_each_could_be(seed: int) -> None:
    peak, one, _ = problem(seed)
    low, lowest = peak.reachable()[0], one.reachable()[0]
    best = one(EVERYTHING)[peak(EVERYTHING) <= low].min()
    flattest = peak(EVERYTHING)[one(EVERYTHING) <= lowest].min()
    limits = [Limit("peak", peak, low), Limit("sum", one, lowest)]
    if best <= lowest:
        find_anchor(limits, 5)
        return
    reached = f"under the others peak can be {flattest:.0f} or sum can be {best:.6g}$"
    with pytest.raises(ValueError, match=rf"no network meets peak={low:.0f} and sum=.* together.*; {reached}"):
        find_anchor(limits, 5)


@pytest.mark.parametrize("seed", range(6))
def test_the_most_probable_networks_under_every_budget(seed: int) -> None:
    peak, cost, other = problem(seed)
    rng = np.random.default_rng(seed)
    probabilities = tuple(rng.dirichlet(np.ones(n)) for n in SIZES)
    others = [
        Limit("peak", peak, float(np.quantile(peak(EVERYTHING), 0.5))),
        Limit("other", other, float(np.quantile(other(EVERYTHING), 0.5))),
    ]
    fits = within(others)
    limit = float(np.quantile(cost(EVERYTHING)[fits], 0.5))
    candidates = EVERYTHING[fits & (cost(EVERYTHING) <= limit)]
    gains = sum(np.log(p)[candidates[:, v]] for v, p in enumerate(probabilities))
    best = [tuple(candidates[i].tolist()) for i in np.argsort(-gains)[:3]]
    assert best_under_budget(probabilities, cost, limit, 3, others=others) == best
    low = cost(EVERYTHING)[fits].min()
    with pytest.raises(ValueError, match=rf"out of reach; this space spans {low:.4g} to"):
        best_under_budget(probabilities, cost, low - 1e-6, others=others)
    assert best_under_budget(probabilities, cost, low, others=others) == [cheapest_within(cost, others)]


class _Listed(SearchSpace):
    """A space that knows its number of variables and nothing else."""

    variables = terms = (None,) * 5  # type: ignore[assignment]

    def decode(self, genotype):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    encode = decode


def test_repair_changes_what_is_too_large_and_leaves_the_rest() -> None:
    space = every_kind(16)
    cost = space.memory_kib(Counted())
    low, high = cost.reachable()
    feasible = Feasible(space, [Limit("memory_kib", cost, low + 0.3 * (high - low))])
    rng = np.random.default_rng(0)
    population = space.sample(400, rng)
    repaired = feasible.repair(population, rng)
    over = cost(population) > feasible.maxima[0]
    assert over.any() and feasible.mask(repaired).all()
    to_blame = cost.blame(population, feasible.maxima[0])
    assert (repaired == population)[~to_blame].all()  # every position is a term of its own here
    assert not over[~to_blame.any(axis=1)].any()


def test_a_monotone_space_has_its_peaks_too() -> None:
    space = rexnet(16, 10, 1, channels="monotone", divisor=8, grid=(8, 16, 24))
    cost = space.memory_kib(Counted("int8"))
    population = space.sample(60, np.random.default_rng(0))
    np.testing.assert_array_equal(cost(population), [space.decode(g).memory_kib(Counted("int8")) for g in population])
    low, high = cost.reachable()
    assert low <= cost(population).min() and cost(population).max() <= high
    macs = space.count("macs")
    found = reach_within(macs, [Limit("memory_kib", cost, low)])
    assert found is not None and found[0] == macs(population).clip(max=found[0]).min()
    assert dataclasses.replace(cost).rising == cost.rising != ()
