"""Derivation against brute force on spaces small enough to enumerate."""

import itertools

import numpy as np
import pytest

from nas.derivation import argmax, best_under_budget, derive, log_probability, reachable, sample
from search_spaces.additive import price


def problem(seed: int, sizes: tuple[int, ...] = (4, 3, 5, 2, 4)) -> tuple[tuple, float, tuple]:
    rng = np.random.default_rng(seed)
    probabilities = tuple(rng.dirichlet(np.ones(n)) for n in sizes)
    rows = tuple(rng.uniform(0.1, 3.0, n) for n in sizes)
    return probabilities, 1.5, rows


def brute_force(probabilities: tuple, fixed: float, rows: tuple, limit: float) -> list[tuple[int, ...]]:
    everything = np.array(list(itertools.product(*(range(len(row)) for row in rows))))
    within = everything[price(everything, fixed, rows) <= limit]
    return sorted((tuple(map(int, g)) for g in within), key=lambda g: -log_probability(probabilities, g))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.7, 1.0])
def test_budget_is_exact(seed: int, share: float) -> None:
    probabilities, fixed, rows = problem(seed)
    low, high = reachable(fixed, rows)
    limit = low + share * (high - low)
    expected = brute_force(probabilities, fixed, rows, limit)
    found = best_under_budget(probabilities, fixed, rows, limit, count=4)
    assert found == expected[:4]
    assert (price(np.array(found), fixed, rows) <= limit).all()


@pytest.mark.parametrize("limit_share", [0.5, 0.9, np.inf])
def test_a_least_cost_is_kept_exactly_too(limit_share: float) -> None:
    for seed in range(4):
        probabilities, fixed, rows = problem(seed)
        low, high = reachable(fixed, rows)
        least, limit = low + 0.45 * (high - low), low + limit_share * (high - low)
        within = brute_force(probabilities, fixed, rows, limit)
        costs = price(np.array(within), fixed, rows)
        expected = [genotype for genotype, ms in zip(within, costs, strict=True) if ms >= least]
        assert expected
        assert best_under_budget(probabilities, fixed, rows, limit, 3, least) == expected[:3]
    assert best_under_budget(probabilities, fixed, rows, limit, 3, 1.1 * high) == []


def test_a_share_of_the_budget_is_used_where_it_can_be() -> None:
    probabilities, fixed, rows = problem(3)
    low, high = reachable(fixed, rows)
    limit = low + 0.6 * (high - low)
    costs = price(np.array(derive(probabilities, fixed, rows, limit, "budget", 5, 0, use=0.9)), fixed, rows)
    assert ((costs >= 0.9 * limit - 1e-6) & (costs <= limit)).all()
    # a limit beyond everything: the share is one of the dearest network
    costs = price(np.array(derive(probabilities, fixed, rows, 10 * high, "budget", 1, 0, use=0.9)), fixed, rows)
    assert 0.9 * high - 1e-6 <= costs[0] <= high
    # nothing costs that much, and fewer than asked do: cheaper ones follow
    uniform = (np.array([0.5, 0.5]),)
    assert derive(uniform, 0.0, (np.array([1.0, 5.0]),), 4.0, "budget", 1, 0, use=0.9) == [(0,)]
    assert derive(uniform, 0.0, (np.array([1.0, 5.0]),), 5.0, "budget", 2, 0, use=0.9) == [(1,), (0,)]
    with pytest.raises(ValueError, match="use must be"):
        derive(uniform, 0.0, (np.array([1.0, 5.0]),), 4.0, "budget", 1, 0, use=1.0)


def test_budget_on_the_full_fbnet_size_never_exceeds_the_limit() -> None:
    for seed in range(5):
        probabilities, fixed, rows = problem(seed, (9,) * 22)
        low, high = reachable(fixed, rows)
        for share in (1e-9, 0.25, 0.5, 0.75):
            limit = low + share * (high - low)
            (genotype,) = best_under_budget(probabilities, fixed, rows, limit)
            assert price(np.array([genotype]), fixed, rows)[0] <= limit


def test_unreachable_budget_names_the_range() -> None:
    probabilities, fixed, rows = problem(0)
    low, high = reachable(fixed, rows)
    with pytest.raises(ValueError, match=f"out of reach; this space spans {low:.4g} to {high:.4g} ms"):
        best_under_budget(probabilities, fixed, rows, 0.99 * low)


def test_fewer_than_asked_when_the_space_is_exhausted() -> None:
    probabilities, fixed, rows = problem(1, (2, 2))
    low, _ = reachable(fixed, rows)
    assert len(best_under_budget(probabilities, fixed, rows, low * 1.0001, count=4)) == 1
    assert len(best_under_budget(probabilities, fixed, rows, np.inf, count=9)) == 4


def test_samples_follow_the_probabilities_and_the_limit() -> None:
    probabilities, fixed, rows = problem(2)
    low, high = reachable(fixed, rows)
    limit = (low + high) / 2
    found = sample(probabilities, 50, np.random.default_rng(0), fixed, rows, limit)
    assert len(set(found)) == len(found)
    assert (price(np.array(found), fixed, rows) <= limit).all()
    certain = tuple(np.eye(len(row))[1] for row in rows)
    assert sample(certain, 3, np.random.default_rng(0)) == [(1,) * 5]
    with pytest.raises(ValueError, match="derive with how=budget"):
        sample(probabilities, 1, np.random.default_rng(0), fixed, rows, 0.9 * low, draws=1000)


def test_argmax_and_its_limit() -> None:
    probabilities, fixed, rows = problem(3)
    best = argmax(probabilities)
    assert best == brute_force(probabilities, fixed, rows, np.inf)[0]
    assert derive(probabilities, fixed, rows, None, "argmax", 1, 0) == [best]
    low, _ = reachable(fixed, rows)
    with pytest.raises(ValueError, match="use how=budget"):
        derive(probabilities, fixed, rows, low, "argmax", 1, 0)


def test_bad_requests() -> None:
    probabilities, fixed, rows = problem(0)
    with pytest.raises(ValueError, match="unknown way to derive 'best'; one of budget, argmax, sample"):
        derive(probabilities, fixed, rows, None, "best", 1, 0)
    with pytest.raises(ValueError, match="must be >= 1, got 0"):
        derive(probabilities, fixed, rows, None, "budget", 0, 0)
    with pytest.raises(ValueError, match="argmax is a single network"):
        derive(probabilities, fixed, rows, None, "argmax", 2, 0)
