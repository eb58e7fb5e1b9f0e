"""A budget is one on measured time: what is tried, in which order, when measurements are not what was estimated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nas.derive.budget import Budget, resolve_budget
from nas.derive.handover import propose_ranked
from nas.derive.most_probable import NothingWithin
from nas.derive.within_budget import Clock, Derived, within_budget
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Genotype

COST = AdditiveCost.of_rows(0.0, (np.arange(1, 101) / 10,))  # one variable: network g takes 0.1 (g + 1) ms
RANKED = np.arange(99, -1, -1)[:, None]  # the dearer the better


def clock(time: Callable[[float, int], float], measured: list[float] | None = None) -> Clock:
    """Measures `time(estimate, how many were measured before)`."""
    seen = measured if measured is not None else []

    def measure(genotype: Genotype) -> float:
        seen.append(time(estimate(genotype), len(seen)))
        return seen[-1]

    def estimate(genotype: Genotype) -> float:
        return float(COST(np.array([genotype]))[0])

    return Clock(estimate, measure)


def found(
    time: Callable[[float, int], float], asked_ms: float = 5.0, count: int = 1, rounds: int = 5, tolerance: float = 0.0
) -> Derived:
    budget = resolve_budget(COST, asked_ms, None, 0.0, tolerance)
    return within_budget(propose_ranked(RANKED, COST), clock(time), budget, count, rounds)


def test_what_is_measured_as_estimated_is_taken_at_once() -> None:
    derived = found(lambda estimate, _: estimate)
    assert derived.first.measured_ms == 5.0 and derived.rounds == 1


def test_one_that_measures_too_slow_by_a_hair_gives_way() -> None:
    derived = found(lambda estimate, _: 1.004 * estimate)
    assert derived.first.measured_ms == pytest.approx(1.004 * 4.9) and derived.rounds == 2
    assert found(lambda estimate, _: 1.004 * estimate, tolerance=0.01).first.estimated_ms == 5.0


def test_a_noisy_measurement_is_no_reason_to_leave_half_of_the_budget() -> None:
    """The first one reads three times its time: the way goes down to a third, then back up by bisection."""
    derived = found(lambda estimate, before: 3 * estimate if before == 0 else estimate)
    assert 0.8 * 5 <= derived.first.measured_ms <= 5.0 and derived.rounds <= 5  # type: ignore[operator]
    # no noise: the true boundary lies at an estimate of 2.5, and only what fits is handed over
    derived = found(lambda estimate, _: estimate if estimate <= 2.5 else 9.0)
    assert derived.first.measured_ms is not None and derived.first.measured_ms <= 2.5 and derived.rounds <= 5


def test_where_none_fits_the_fastest_is_handed_over_and_no_more_are_measured_than_asked() -> None:
    derived = found(lambda estimate, before: 8.0 - before, rounds=3, count=4)
    assert [network.measured_ms for network in derived.networks] == [6.0] and derived.rounds == 3


def test_further_networks_hold_the_budget_too() -> None:
    """Every fourth network is twice as slow as estimated: none of these is among those handed over."""
    derived = found(lambda estimate, _: estimate * (2 if round(10 * estimate) % 4 == 3 else 1), count=6)
    assert len(derived.networks) == 6 and all(
        n.measured_ms is not None and n.measured_ms <= 5 for n in derived.networks
    )
    assert [n.estimated_ms for n in derived.networks] == pytest.approx([5.0, 4.9, 4.8, 4.6, 4.5, 4.4])


def test_without_measurements_estimates_decide() -> None:
    budget = Budget(5.0, 4.0, 0.25, 0.1, 10.0)
    for limited, first in ((budget, 4.0), (None, 10.0)):
        estimates = Clock(clock(lambda estimate, _: estimate).estimate)
        derived = within_budget(propose_ranked(RANKED, COST), estimates, limited, 3, 5)
        assert derived.first.estimated_ms == pytest.approx(first) and derived.first.measured_ms is None
        assert len(derived.networks) == 3
    blind = within_budget(propose_ranked(RANKED, None), Clock(), None, 1, 5)
    assert blind.first.genotype == (99,) and blind.first.estimated_ms is None


def test_nothing_within_is_refused_at_first_and_an_end_later() -> None:
    dear = RANKED[:60]  # 4.1 ms and more
    with pytest.raises(NothingWithin, match="no trained candidate is estimated within 4 ms; they span 4.1 to 10 ms"):
        within_budget(propose_ranked(dear, COST), clock(lambda e, _: e), resolve_budget(COST, 4.0, None, 0.0), 1, 5)
    budget = resolve_budget(COST, 5.0, None, 0.0)
    derived = within_budget(propose_ranked(dear, COST), clock(lambda estimate, _: 2 * estimate), budget, 1, 5)
    assert derived.first.measured_ms == 10.0
