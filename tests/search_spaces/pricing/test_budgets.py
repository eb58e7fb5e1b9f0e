"""Budgets: exact feasibility with one and several limits, repair, and honest refusals."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.space import rexnet
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.budgets import Feasible, Limit, find_anchor
from search_spaces.pricing.limits import _least_excess
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace, single

SPACE = fbnet(16, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k3_e3", "skip"))


def random_costs(rng: np.random.Generator, count: int) -> tuple[list[AdditiveCost], np.ndarray]:
    """Costs over five variables of which some are priced in pairs, and all genotypes."""
    sizes = (3, 2, 4, 1, 3)
    scopes = ((0,), (0, 1), (2, 4), (1, 2))
    costs = [
        AdditiveCost(0.5, scopes, tuple(rng.random([sizes[v] for v in scope]) + 0.01 for scope in scopes), sizes)
        for _ in range(count)
    ]
    return costs, np.indices(sizes).reshape(5, -1).T


@pytest.mark.parametrize("impossible", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_the_anchor_is_within_all_limits_wherever_anything_is(seed: int, impossible: bool) -> None:
    rng = np.random.default_rng(seed)
    costs, everything = random_costs(rng, 3)
    if impossible:  # as in monotone spaces: combinations that are no network cost infinity
        for cost in costs:
            cost.tables[1][0, 1] = cost.tables[2][1, :2] = np.inf
    values = np.stack([cost(everything) for cost in costs], axis=1)
    values = values[np.isfinite(values).all(axis=1)]
    barely = values[(values / values.mean(axis=0)).max(axis=1).argmin()]  # limits that one genotype just meets
    limits = [Limit(f"c{i}", cost, float(limit)) for i, (cost, limit) in enumerate(zip(costs, barely, strict=True))]
    anchor = find_anchor(limits, 5)
    assert (np.array([limit.cost(anchor[None])[0] for limit in limits]) <= barely).all()


def test_a_monotone_space_under_two_budgets() -> None:
    space = rexnet(16, 10, 1, channels="monotone", divisor=8, grid=(8, 16, 24))
    low, high = (np.array([space.count(name).reachable()[end] for name in ("macs", "params")]) for end in (0, 1))
    tight = low + np.array([0.3, 0.1]) * (high - low)  # neither's cheapest network is known to meet the other
    limits = [Limit(name, space.count(name), float(at)) for name, at in zip(("macs", "params"), tight, strict=True)]
    assert (Feasible(space, limits).costs(np.array([_least_excess(limits)])) <= tight).all()


@pytest.mark.parametrize("seed", range(6))
def test_of_equal_scores_the_cheapest_is_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    costs, everything = random_costs(rng, 2)
    feasible = Feasible(SPACE, [Limit(f"c{i}", cost, float(i + 5)) for i, cost in enumerate(costs)])
    scores = rng.integers(0, 4, len(everything)).astype(float)
    scores[rng.random(len(scores)) < 0.2] = np.nan
    order = feasible.best_first(everything, scores)
    assert sorted(order) == np.flatnonzero(np.isfinite(scores)).tolist()
    used = (feasible.costs(everything) / feasible.maxima).sum(axis=1)
    ranked = [(-scores[row], used[row]) for row in order]
    assert ranked == sorted(ranked) and len(set(scores[order])) < len(order)
    alike = Feasible(SPACE).best_first(everything, scores)  # without a limit equals stay in the order they were told
    assert alike.tolist() == sorted(order.tolist(), key=lambda row: (-scores[row], row))


def test_limits_that_exclude_each_other_are_refused_with_how_much_is_missing() -> None:
    rows = (np.array([1.0, 3.0]),)
    one, other = (AdditiveCost.of_rows(0.0, row) for row in (rows, (rows[0][::-1],)))
    with pytest.raises(ValueError, match=r"no network meets a=2 and b=2 together.* needs 50% more"):
        find_anchor([Limit("a", one, 2.0), Limit("b", other, 2.0)], 1)
    assert find_anchor([Limit("a", one, 3.0), Limit("b", other, 2.0)], 1).tolist() == [1]


def test_repair_takes_genes_of_the_anchor_until_the_limits_hold() -> None:
    macs, params = SPACE.count("macs"), SPACE.count("params")
    limits = [
        Limit(name, cost, low + 0.2 * (high - low))
        for name, cost in (("macs", macs), ("params", params))
        for low, high in [cost.reachable()]
    ]
    feasible = Feasible(SPACE, limits)
    rng = np.random.default_rng(0)
    population = SPACE.sample(500, rng)
    fits = feasible.mask(population)
    repaired = feasible.repair(population, rng)
    assert not fits.all() and feasible.mask(repaired).all()
    np.testing.assert_array_equal(repaired[fits], population[fits])
    changed = repaired != population
    assert (repaired[changed] == np.broadcast_to(feasible.anchor, population.shape)[changed]).all()
    assert len(np.unique(repaired, axis=0)) > 490  # spread out, not all the anchor


def test_a_limit_at_the_cheapest_network_is_met() -> None:
    macs = SPACE.count("macs")
    feasible = Feasible(SPACE, [Limit("macs", macs, macs.reachable()[0])])
    sample = feasible.sample(50, np.random.default_rng(0))
    assert (macs(sample) == macs.reachable()[0]).all()


def test_small_spaces_are_listed_and_large_ones_are_not() -> None:
    assert Feasible(SPACE).enumerate() is None
    arch = SPACE.decode([0] * len(SPACE.variables))
    base = Recipe(epochs=2, batch_size=32, lr=0.01)
    space = JointSpace(single(arch), recipe_space(base, lr=[0.01, 0.02], epochs=[2, 3, 4]))
    found = Feasible(space).enumerate()
    assert found is not None
    assert found.tolist() == [[a, b] for a in range(2) for b in range(3)]


def test_a_refused_count_is_said_in_full() -> None:
    """The range can be typed back as a budget: rounded to 3.97958e+06 its lower end would be out of reach itself."""
    space = fbnet(16, num_classes=10, in_channels=1, width=0.5)
    cost = space.cost(lambda layer, shape: float(layer.cost(shape)[1]))
    low, high = cost.reachable()
    with pytest.raises(
        ValueError, match=f"macs=10 is out of reach: networks of this space take {low:.0f} to {high:.0f}$"
    ):
        find_anchor([Limit("macs", cost, 10.0)], len(space.variables))
    find_anchor([Limit("macs", cost, low)], len(space.variables))
