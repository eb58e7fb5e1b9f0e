"""Expected improvement, in logarithms, at points where it is known, and where its terms vanish."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from nas.methods.acquisition import ExpectedImprovement, UpperBound, log_expected_improvement


@pytest.mark.parametrize(
    ("mean", "std", "best"), [(0.0, 1.0, 0.0), (70.0, 2.0, 71.5), (1.0, 0.1, 0.5), (0.0, 1.0, 6.0)]
)
def test_it_is_the_integral(mean: float, std: float, best: float) -> None:
    integral, _ = quad(lambda x: (x - best) * norm.pdf(x, mean, std), best, best + 40 * std, epsabs=0, epsrel=1e-9)
    found = log_expected_improvement(np.array([mean]), np.array([std]), best)[0]
    assert math.exp(found) == pytest.approx(integral, rel=1e-6)
    assert log_expected_improvement(np.zeros(1), np.ones(1), 0.0)[0] == pytest.approx(-math.log(2 * math.pi) / 2)


def test_what_is_hopeless_still_compares() -> None:
    z = -np.geomspace(0.5, 1e8, 4000)
    found = log_expected_improvement(z, np.ones(len(z)), 0.0)
    assert np.isfinite(found).all() and (np.diff(found) < 0).all()
    assert found[-1] == pytest.approx(-(z[-1] ** 2) / 2, rel=1e-9)
    at_ten = math.log(norm.pdf(10) / 100 * (1 - 3 / 100 + 15 / 1e4 - 105 / 1e6))
    assert log_expected_improvement(np.array([-10.0]), np.ones(1), 0.0)[0] == pytest.approx(at_ten, abs=1e-4)
    certain = log_expected_improvement(np.array([1.0, 2.0, 3.0]), np.zeros(3), 1.5)
    assert certain.argmax() == 2 and certain[1] == pytest.approx(math.log(0.5))
    assert UpperBound(2.0)(np.ones(2), np.ones(2), np.array([1.0, 0.5])).tolist() == [3.0, 2.0]
    near, far = ExpectedImprovement(0.0)(np.ones(2), np.ones(2), np.array([0.5, 1.0]))
    assert far - near == pytest.approx(math.log(2)), "half of the improvement for what is like the batch"
