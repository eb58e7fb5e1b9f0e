"""Derivation against brute force on spaces small enough to enumerate."""

import itertools

import numpy as np
import pytest

from nas.derive.integer_programme import best_under_budget
from nas.derive.most_probable import Derivation, argmax, derive, log_probability, sample
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.limits import Limit


def problem(seed: int, sizes: tuple[int, ...] = (4, 3, 5, 2, 4)) -> tuple[tuple, AdditiveCost]:
    rng = np.random.default_rng(seed)
    probabilities = tuple(rng.dirichlet(np.ones(n)) for n in sizes)
    rows = tuple(rng.uniform(0.1, 3.0, n) for n in sizes)
    return probabilities, AdditiveCost.of_rows(1.5, rows)


def brute_force(probabilities: tuple, cost: AdditiveCost, limit: float) -> list[tuple[int, ...]]:
    everything = np.array(list(itertools.product(*(range(len(row)) for row in cost.rows))))
    within = everything[cost(everything) <= limit]
    return sorted((tuple(map(int, g)) for g in within), key=lambda g: -log_probability(probabilities, g))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.7, 1.0])
def test_budget_is_exact(seed: int, share: float) -> None:
    probabilities, cost = problem(seed)
    low, high = cost.reachable()
    limit = low + share * (high - low)
    expected = brute_force(probabilities, cost, limit)
    found = best_under_budget(probabilities, cost, limit, count=4)
    assert found == expected[:4]
    assert (cost(np.array(found)) <= limit).all()


@pytest.mark.parametrize("limit_share", [0.5, 0.9, np.inf])
def test_a_least_cost_is_kept_exactly_too(limit_share: float) -> None:
    for seed in range(4):
        probabilities, cost = problem(seed)
        low, high = cost.reachable()
        least, limit = low + 0.45 * (high - low), low + limit_share * (high - low)
        within = brute_force(probabilities, cost, limit)
        costs = cost(np.array(within))
        expected = [genotype for genotype, ms in zip(within, costs, strict=True) if ms >= least]
        assert expected
        assert best_under_budget(probabilities, cost, limit, 3, least) == expected[:3]
    assert best_under_budget(probabilities, cost, limit, 3, 1.1 * high) == []


@pytest.mark.parametrize("share", [0.0, 0.3, np.inf])
def test_combinations_of_infinite_cost_are_never_derived(share: float) -> None:
    rng = np.random.default_rng(0)
    tables = (rng.uniform(0.1, 3, 3), rng.uniform(0.1, 3, (3, 4)), rng.uniform(0.1, 3, (4, 3)))
    tables[0][1] = tables[1][0, 2] = tables[2][:2, 0] = np.inf
    cost = AdditiveCost(1.0, ((0,), (0, 1), (1, 2)), tables, (3, 4, 3))
    probabilities = tuple(rng.dirichlet(np.ones(n)) for n in cost.cardinalities)
    everything = np.indices(cost.cardinalities).reshape(3, -1).T
    costs = cost(everything)
    limit = float(np.quantile(costs[np.isfinite(costs)], share)) if np.isfinite(share) else np.inf
    within = [tuple(g) for g in everything[np.isfinite(costs) & (costs <= limit)].tolist()]
    expected = sorted(within, key=lambda genotype: -log_probability(probabilities, genotype))
    assert best_under_budget(probabilities, cost, limit, 5) == expected[:5]


def test_a_share_of_the_budget_is_used_where_it_can_be() -> None:
    probabilities, cost = problem(3)
    low, high = cost.reachable()
    limit = low + 0.6 * (high - low)
    costs = cost(np.array(derive(probabilities, cost, limit, Derivation("budget", 0.9, 5, 1, 0))))
    assert ((costs >= 0.9 * limit - 1e-6) & (costs <= limit)).all()
    # a limit beyond everything: the share is one of the most expensive network
    costs = cost(np.array(derive(probabilities, cost, 10 * high, Derivation("budget", 0.9, 1, 1, 0))))
    assert 0.9 * high - 1e-6 <= costs[0] <= high
    # nothing costs that much, and fewer than asked do: cheaper ones follow
    uniform, one = (np.array([0.5, 0.5]),), AdditiveCost.of_rows(0.0, (np.array([1.0, 5.0]),))
    assert derive(uniform, one, 4.0, Derivation("budget", 0.9, 1, 1, 0)) == [(0,)]
    assert derive(uniform, one, 5.0, Derivation("budget", 0.9, 2, 1, 0)) == [(1,), (0,)]
    with pytest.raises(ValueError, match="use must be"):
        derive(uniform, one, 4.0, Derivation("budget", 1.0, 1, 1, 0))


def test_budget_on_the_full_fbnet_size_never_exceeds_the_limit() -> None:
    for seed in range(5):
        probabilities, cost = problem(seed, (9,) * 22)
        low, high = cost.reachable()
        for share in (1e-9, 0.25, 0.5, 0.75):
            limit = low + share * (high - low)
            (genotype,) = best_under_budget(probabilities, cost, limit)
            assert cost(np.array([genotype]))[0] <= limit


def test_unreachable_budget_names_the_range() -> None:
    probabilities, cost = problem(0)
    low, high = cost.reachable()
    with pytest.raises(ValueError, match=f"out of reach; this space spans {low:.4g} to {high:.4g} ms"):
        best_under_budget(probabilities, cost, 0.99 * low)


def test_fewer_than_asked_when_the_space_is_exhausted() -> None:
    probabilities, cost = problem(1, (2, 2))
    low, _ = cost.reachable()
    assert len(best_under_budget(probabilities, cost, low * 1.0001, count=4)) == 1
    assert len(best_under_budget(probabilities, cost, np.inf, count=9)) == 4


def test_samples_follow_the_probabilities_and_the_limit() -> None:
    probabilities, cost = problem(2)
    low, high = cost.reachable()
    limit = (low + high) / 2
    found = sample(probabilities, 50, np.random.default_rng(0), [Limit("latency_ms", cost, limit)])
    assert len(set(found)) == len(found)
    assert (cost(np.array(found)) <= limit).all()
    certain = tuple(np.eye(len(row))[1] for row in cost.rows)
    assert sample(certain, 3, np.random.default_rng(0)) == [(1,) * 5]
    with pytest.raises(ValueError, match="derive with mode=budget"):
        sample(probabilities, 1, np.random.default_rng(0), [Limit("latency_ms", cost, 0.9 * low)], draws=1000)


def test_argmax_and_its_limit() -> None:
    probabilities, cost = problem(3)
    best = argmax(probabilities)
    assert best == brute_force(probabilities, cost, np.inf)[0]
    assert derive(probabilities, cost, None, Derivation("argmax", 0.0, 1, 1, 0)) == [best]
    low, _ = cost.reachable()
    with pytest.raises(ValueError, match="use mode=budget"):
        derive(probabilities, cost, low, Derivation("argmax", 0.0, 1, 1, 0))


def test_bad_requests() -> None:
    probabilities, cost = problem(0)
    with pytest.raises(ValueError, match="unknown mode 'best'; one of budget, argmax, sample, thresholds"):
        derive(probabilities, cost, None, Derivation("best", 0.0, 1, 1, 0))
    with pytest.raises(ValueError, match="must be >= 1, got 0"):
        derive(probabilities, cost, None, Derivation("budget", 0.0, 0, 1, 0))
    with pytest.raises(ValueError, match="argmax is a single network"):
        derive(probabilities, cost, None, Derivation("argmax", 0.0, 2, 1, 0))
