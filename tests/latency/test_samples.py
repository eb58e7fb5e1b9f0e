"""Times at calm speed, by hand and on machines that are slowed by known factors at known times."""

from __future__ import annotations

import numpy as np
import pytest

from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, calmer, measurements, process_times
from nas.latency.measuring.visits import Visit, Visits

from .test_measure import Machine, watch


def visit(ms: float, reference_ms: float, process: int = 0) -> Visit:
    return Visit(ms, reference_ms, 4, process, 1.1 * ms)


def test_times_by_hand() -> None:
    """Two processes: of the first the two calmest of three visits count, their ratios being 2 and 2.2."""
    visits = [visit(4.0, 2.0), visit(9.0, 3.0), visit(5.5, 2.5), visit(5.0, 2.0, 1), visit(6.0, 2.0, 1)]
    assert process_times(visits, 1.5) == pytest.approx([1.5 * 2.1, 1.5 * 2.5])
    found = Measurement.of(visits, 1.5)
    assert found.median_ms == pytest.approx(1.5 * 2.3)
    assert found.halves_ms == pytest.approx((1.5 * 2.1, 1.5 * 2.5))
    assert (found.count, found.processes) == (20, 2)
    assert found.slowdown == pytest.approx(2.0 / 1.5)
    assert found.now_ms == pytest.approx(1.1 * 5.5)


def test_the_standard_error_is_that_of_a_median() -> None:
    """Of normal values: 1.2533 sigma / sqrt(n), sigma being half the interquartile range / 0.6745."""
    times = np.random.default_rng(0).normal(10.0, 1.0, size=(2000, 9))
    errors = [Measurement.of([visit(ms, 1.0, p) for p, ms in enumerate(row)], 1.0).error for row in times]
    assert np.median(times, axis=1).std() / 10 == pytest.approx(np.mean(errors), rel=0.2)


@pytest.mark.parametrize(
    "slowed",
    [
        lambda now: 1.0,
        lambda now: 1.7,  # all the time
        lambda now: 1.0 if now < 2000 else 2.5,  # from then on
        lambda now: 3.0 if (now // 700) % 2 else 1.0,  # every other 0.7 s
        lambda now: 1.0 + now / 10_000,  # more and more
    ],
)
def test_a_slowed_machine_gives_the_calm_times(slowed) -> None:
    machine, made = Machine(slowed), Visits()
    true = {key: 3.0 + i for i, key in enumerate("abcdef")}
    for process in range(5):
        workloads = {key: machine.copies(key, ms) for key, ms in true.items()}
        own = range(4 * process, 4 * process + 4)
        watch(machine, made, process).run(workloads, dict.fromkeys(workloads, own))
    found = measurements(made, dict.fromkeys(made, "6m"), Conditions({"6m": 1.0}))
    for key, ms in true.items():
        assert found[key].median_ms == pytest.approx(ms, rel=0.03)
        assert found[key].slowdown >= 1.0


def test_lucky_and_unlucky_processes_are_outvoted() -> None:
    visits = [visit(ms, 1.0, process) for process, ms in enumerate((1.0, 1.9, 1.02, 0.7, 1.01)) for _ in range(4)]
    assert Measurement.of(visits, 1.0).median_ms == 1.01


def test_visits_of_one_process_have_a_spread_too() -> None:
    found = Measurement.of([visit(ms, 1.0) for ms in (1.0, 1.1, 1.2, 1.3)], 1.0)
    assert found.spread_ms > 0 and found.halves_ms == pytest.approx((1.1, 1.2))


def test_the_calm_speed_is_what_a_tenth_stay_below() -> None:
    visits = {"a": {i: visit(1.0, 1.0 + i / 10) for i in range(11)}, "b": {0: visit(1.0, 7.0)}}
    assert calm_speed(visits, {"a": "6m", "b": "2m"}) == {"6m": 1.1, "2m": 7.0}
    assert calmer({"6m": 1.1}, {"6m": 1.09, "2m": 7.0}) == {"6m": 1.1, "2m": 7.0}
