"""The warp of targets: increasing, inverted by `backward`, and standard on what it was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew

from predictors.warping import Warp


@pytest.fixture(params=["left", "right", "normal", "two"])
def targets(request: pytest.FixtureRequest) -> np.ndarray:
    tail = np.random.default_rng(0).gamma(1.0, 5.0, 200)
    return {"left": 93 - tail, "right": tail - 4, "normal": np.random.default_rng(1).normal(size=200),
            "two": np.array([1.0, 2.0])}[request.param]  # fmt: skip


def test_inverse_and_order(targets: np.ndarray) -> None:
    warp = Warp.fit(targets)
    forward = warp.forward(targets)
    assert forward.mean() == pytest.approx(0, abs=1e-9) and forward.std() == pytest.approx(1)
    assert (np.argsort(forward, kind="stable") == np.argsort(targets, kind="stable")).all()
    np.testing.assert_allclose(warp.backward(forward, np.ones_like(forward))[0], targets, rtol=1e-6, atol=1e-6)


def test_increasing_beyond_the_targets_and_slope_is_the_derivative(targets: np.ndarray) -> None:
    warp = Warp.fit(targets)
    grid = np.linspace(-6, 6, 400)
    mean, std = warp.backward(grid, np.ones_like(grid))
    assert (np.diff(mean) > 0).all() and (std > 0).all()
    np.testing.assert_allclose(np.gradient(mean, grid)[5:-5], std[5:-5], rtol=0.12)


def test_skew_is_taken_out() -> None:
    targets = 93 - np.random.default_rng(0).gamma(1.0, 5.0, 200)
    assert abs(skew(Warp.fit(targets).forward(targets))) < 0.5 < abs(skew(targets))
