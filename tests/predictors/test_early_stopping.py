"""The stopping rule at hand-made curves."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.early_stopping import stopping_rule

FINAL = np.arange(10.0)


def curves(*rankings: np.ndarray) -> np.ndarray:
    return np.stack(rankings, axis=1)


def test_first_epoch_from_which_the_ranking_holds() -> None:
    swapped = FINAL.copy()
    swapped[[0, 1]] = swapped[[1, 0]]  # Spearman 1 - 6 * 2 / (10 * 99) = 0.98788
    rule = stopping_rule(curves(-FINAL, swapped, FINAL, FINAL))
    assert rule.epochs == 2
    np.testing.assert_allclose(rule.correlations, [-1, 1 - 12 / 990, 1, 1])
    assert stopping_rule(curves(-FINAL, swapped, FINAL, FINAL), threshold=0.99).epochs == 3


def test_a_lucky_epoch_does_not_stop() -> None:
    assert stopping_rule(curves(FINAL, -FINAL, FINAL, FINAL)).epochs == 3
    assert stopping_rule(curves(FINAL, FINAL)).epochs == 1
    assert stopping_rule(curves(-FINAL, -FINAL, FINAL)).epochs == 3


def test_a_window_calms_noise() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 2, (10, 40)) * (np.arange(40) < 30)  # a falling learning rate calms the last epochs
    noisy = FINAL[:, None] + noise
    assert stopping_rule(noisy, 0.9).epochs > 25
    assert stopping_rule(noisy, 0.9, window=10).epochs < 15


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 8 candidates"):
        stopping_rule(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="candidate 2 has accuracy nan after epoch 1"):
        stopping_rule(curves(np.where(FINAL == 2, np.nan, FINAL), FINAL))
    with pytest.raises(ValueError, match="no ranking"):
        stopping_rule(np.ones((10, 3)))
    with pytest.raises(ValueError, match="threshold"):
        stopping_rule(curves(FINAL, FINAL), 1.5)
