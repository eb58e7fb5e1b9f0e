"""Rank metrics at hand-computed points, and what their intervals promise."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.metrics import kendall_tau, over_seeds, spearman, top_k_regret


def test_hand_computed() -> None:
    actual = np.array([1.0, 2.0, 3.0, 4.0])
    swapped = np.array([1.0, 2.0, 4.0, 3.0])  # one pair of six in the wrong order
    assert kendall_tau(swapped, actual) == pytest.approx(4 / 6)
    assert spearman(swapped, actual) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert kendall_tau(-actual, actual) == spearman(-actual, actual) == -1
    assert kendall_tau(np.zeros(4), actual) == spearman(np.zeros(4), actual) == 0  # a constant ranks nothing


def test_regret_is_what_the_chosen_miss() -> None:
    actual = np.array([70.0, 75.0, 72.0, 60.0])
    predicted = np.array([3.0, 1.0, 2.0, 0.0])
    assert top_k_regret(predicted, actual, 1) == 5
    assert top_k_regret(predicted, actual, 2) == 3
    assert top_k_regret(predicted, actual, 3) == 0
    with pytest.raises(ValueError, match="between 1 and the 4 candidates, got 5"):
        top_k_regret(predicted, actual, 5)


def test_interval_over_seeds_covers_the_mean() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        interval = over_seeds(rng.normal(0.8, 0.02, 20), draws=500)
        assert interval.low <= interval.mean <= interval.high
        covered += interval.low <= 0.8 <= interval.high
    assert 85 <= covered <= 99


def test_refusals() -> None:
    with pytest.raises(ValueError, match="equal length"):
        kendall_tau(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="predicted value 1 is not finite"):
        spearman(np.array([0, np.nan, 1]), np.zeros(3))
    with pytest.raises(ValueError, match="at least two"):
        over_seeds(np.array([0.5]))
