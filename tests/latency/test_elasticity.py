"""How much workloads feel of what slows their references: by hand, and on machines where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from nas.latency.measuring.elasticity import LEAST, PRIOR, elasticities, elasticity
from nas.latency.measuring.samples import Conditions, measurements
from nas.latency.measuring.visits import Visit, Visits


def machine(felt: float, factors: np.ndarray, noise: float = 0.02, calm: float = 2.0) -> Visits:
    """40 workloads beside a reference that pass t of 15 finds slowed by `factors[t]`."""
    rng = np.random.default_rng(0)
    visits: Visits = {}
    for key in range(40):
        for turn, factor in enumerate(factors):
            ms, reference = (key + 1) * factor**felt, calm * factor
            made = [float(of * np.exp(noise * rng.normal())) for of in (ms, reference)]
            visits.setdefault(f"{key}", {})[turn] = Visit(made[0], made[1], 5, turn // 3, made[0])
    return visits


def test_the_slope_by_hand() -> None:
    """Passes on a line of slope 0.4: sums of squares 0.02 and product 0.008, noise at its least."""
    passes = [(-0.04, -0.1), (0.0, 0.0), (0.04, 0.1)]
    weight = LEAST**2 / PRIOR**2
    assert elasticity(passes) == pytest.approx((0.008 + weight) / (0.02 + weight))
    assert elasticity(passes[:2]) == 1.0


def test_nothing_seen_leaves_ratios_as_they_are() -> None:
    assert elasticity([(0.0, 0.0)] * 15) == 1.0
    small = np.random.default_rng(1).normal(0, 0.002, (15, 2))
    assert elasticity(small.tolist()) > 0.8  # noise alone is no evidence against a machine that is slower all the time
    slower_all_the_time = machine(1.0, np.full(15, 1.3))
    assert elasticities(slower_all_the_time, dict.fromkeys(slower_all_the_time, "6m"))["6m"] > 0.75


@pytest.mark.parametrize("felt", [0.0, 0.4, 1.0])
def test_times_are_calm_whatever_the_workloads_feel(felt: float) -> None:
    factors = 1 + np.abs(np.random.default_rng(2).normal(0, 0.3, 15))
    visits = machine(felt, factors)
    rungs = dict.fromkeys(visits, "6m")
    found = elasticities(visits, rungs)
    assert found["6m"] == pytest.approx(felt, abs=0.1)
    times = measurements(visits, rungs, Conditions({"6m": 2.0}, found))
    off = [times[f"{key}"].median_ms / (key + 1) - 1 for key in range(40)]
    assert abs(np.mean(off)) < 0.02
    if felt < 0.5:
        at_their_word = measurements(visits, rungs, Conditions({"6m": 2.0}))
        assert np.mean([at_their_word[f"{key}"].median_ms / (key + 1) - 1 for key in range(40)]) < -0.05


def test_each_reference_has_its_own() -> None:
    factors = 1 + np.abs(np.random.default_rng(3).normal(0, 0.3, 15))
    first, second = machine(0.3, factors), machine(0.9, factors)
    visits = {**{f"a{key}": turns for key, turns in first.items()}, **{f"b{key}": t for key, t in second.items()}}
    found = elasticities(visits, {key: "6m" if key[0] == "a" else "2m" for key in visits})
    assert found["6m"] == pytest.approx(0.3, abs=0.1) and found["2m"] == pytest.approx(0.9, abs=0.1)
