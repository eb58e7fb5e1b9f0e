"""A budget is one on measured time: what is tried, in which order, when measurements are not what was estimated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nas.derive.budget import Budget, BudgetRequest, resolve_budget
from nas.derive.handover import propose_ranked
from nas.derive.most_probable import NothingWithin
from nas.derive.within_budget import ENOUGH, Clock, Derived, within_budget
from nas.latency.measuring.network_time import NetworkTime
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.space import Genotype

COST = AdditiveCost.of_rows(0.0, (np.arange(1, 101) / 10,))  # one variable: network g takes 0.1 (g + 1) ms
RANKED = np.arange(99, -1, -1)[:, None]  # the dearer the better


def clock(time: Callable[[float, int], float], error: float = 0.0) -> Clock:
    """Measures `time(estimate, how many were measured before)`."""
    seen: list[float] = []

    def measure(genotype: Genotype) -> NetworkTime:
        seen.append(time(estimate(genotype), len(seen)))
        return NetworkTime(seen[-1], 1.5 * seen[-1], 0.0, 1.5, error=error)

    def estimate(genotype: Genotype) -> float:
        return float(COST(np.array([genotype]))[0])

    return Clock(estimate, measure)


def found(
    time: Callable[[float, int], float], asked_ms: float = 5.0, count: int = 1, rounds: int = 5, tolerance: float = 0.0
) -> Derived:
    budget = resolve_budget(COST, BudgetRequest(asked_ms, tolerance=tolerance), None, 0.0)
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


def test_a_noisy_measurement_moves_the_limit_little_and_a_certain_one_to_where_it_says() -> None:
    """An estimate of 5 ms measured at 6: of a table that is off by 2%, with a standard error of 4%, a fifth counts."""
    asked = []
    for error in (0.0, 0.04):
        derived = within_budget(
            propose_ranked(RANKED, COST),
            clock(lambda estimate, before: 6.0 if before == 0 else 0.99 * estimate, error),
            resolve_budget(COST, BudgetRequest(5.0), None, 0.0),
            1,
            2,
        )
        asked.append(derived.first.estimated_ms)
    assert asked == pytest.approx([4.1, 4.8])  # 5 / 1.2 and 5 / 1.2 ** 0.2, the next network below


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noise_does_not_cost_the_budget(noise: float) -> None:
    """Whoever measures with noise, and says how much, uses four fifths of the budget in nine of ten derivations."""
    used = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        derived = within_budget(
            propose_ranked(RANKED, COST),
            clock(lambda estimate, _, rng=rng: estimate * float(np.exp(noise * rng.normal())), noise),
            resolve_budget(COST, BudgetRequest(5.0), None, 1.28 * noise),
            1,
            5,
        )
        assert derived.first.measured_ms is not None and derived.first.estimated_ms is not None
        assert derived.first.measured_ms <= 5.0
        used.append(derived.first.estimated_ms / 5.0)
    assert np.mean(np.array(used) >= ENOUGH) >= 0.9


def test_a_margin_that_was_not_needed_is_given_up() -> None:
    """All is measured at three quarters of its estimate; a network of the margin's limit leaves too much."""
    budget = resolve_budget(COST, BudgetRequest(5.0), None, 0.25)
    derived = within_budget(propose_ranked(RANKED, COST), clock(lambda e, _: 0.75 * e), budget, 1, 5)
    assert derived.first.estimated_ms == 5.0 and derived.rounds == 2
    assert derived.first.now_ms == 1.5 * 3.75 and "50% slower" in derived.first.note


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


def test_one_that_is_slow_for_itself_does_not_lower_what_others_may_take() -> None:
    """The best one takes half as much again as estimated, certainly; all others are as estimated."""
    derived = found(lambda estimate, _: estimate * (1.5 if estimate == 5.0 else 1), count=4)
    assert [n.estimated_ms for n in derived.networks] == pytest.approx([4.9, 4.8, 4.7, 4.6])


def test_no_more_are_measured_than_may_be_too_slow() -> None:
    """All take half as much again: five of the best are tried, then those below two thirds of the budget."""
    times: list[float] = []
    derived = found(lambda estimate, _: times.append(estimate) or 1.5 * estimate, count=4)  # type: ignore[func-returns-value]
    assert [n.estimated_ms for n in derived.networks] == pytest.approx([3.3, 3.2, 3.1, 3.0])
    assert len(times) == 1 + 4 + 5 and derived.rounds == 2


def test_where_a_run_of_networks_is_too_slow_further_ones_are_sought_below() -> None:
    """The first one holds the budget, the next twenty take a tenth more than estimated, and so do all others: five of
    these are tried, then those below ten elevenths of the budget, and none where these are too slow as well."""
    derived = found(lambda estimate, _: estimate * (1 if estimate == 5.0 else 1.1), count=4)
    assert [n.estimated_ms for n in derived.networks] == pytest.approx([5.0, 4.5, 4.4, 4.3])
    alone = found(lambda estimate, measured: estimate if estimate == 5.0 else 5.1 + measured, count=4)
    assert [n.estimated_ms for n in alone.networks] == pytest.approx([5.0])
    budget = Budget(5.0, 5.0, 0.0, 0.1, 10.0)
    cheap_only = within_budget(
        propose_ranked(RANKED[50:56], COST), clock(lambda e, _: e if e == 5.0 else 9.0), budget, 4, 5
    )
    assert [n.estimated_ms for n in cheap_only.networks] == pytest.approx([5.0])


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
        within_budget(
            propose_ranked(dear, COST), clock(lambda e, _: e), resolve_budget(COST, BudgetRequest(4.0), None, 0.0), 1, 5
        )
    budget = resolve_budget(COST, BudgetRequest(5.0), None, 0.0)
    derived = within_budget(propose_ranked(dear, COST), clock(lambda estimate, _: 2 * estimate), budget, 1, 5)
    assert derived.first.measured_ms == 10.0
