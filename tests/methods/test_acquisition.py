"""Expected improvement, in logarithms, at points where it is known, and where its terms vanish."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from nas.methods.acquisition import ExpectedImprovement, UpperBound, log_expected_improvement
from nas.methods.predictor import PredictorSearch
from nas.search.scores.table import ScoredTable, scored_table
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from predictors.process import StructuredProcess
from search_spaces.wrappers.listed import ListedFeasible


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


def grid() -> ScoredTable:
    """Five by five by five points; scores fall with the distance from the middle, and are noisy."""
    points = [{"a": a, "b": b, "c": c} for a in range(5) for b in range(5) for c in range(5)]
    noise = np.random.default_rng(0).normal(size=len(points))
    return scored_table(
        "grid", points, [n - abs(p["a"] - p["b"]) - abs(p["c"] - 2) for p, n in zip(points, noise, strict=True)], {}
    )


def by_card(**changes: float) -> PredictorSearch:
    words = ["method=predictor", *(f"method.{name}={value}" for name, value in changes.items())]
    found = cards.build(compose("search", words)["method"], "method", {})
    assert isinstance(found, PredictorSearch)
    return found


def test_a_batch_believes_what_is_predicted_of_those_before() -> None:
    """Each of a batch has the largest expected improvement once those before it count as trained."""
    table = grid()
    proposal = by_card(diversity=0).start(ListedFeasible(table.space, table.costs, {}), 3)
    first = proposal.ask(8)
    proposal.tell(first, table.scores[table.space.index(first)])
    left = proposal.unknown()
    assert left is not None
    trained, scores, expected = proposal.told, proposal.scores, []
    mean, std = proposal.fitted().predict(left)
    alone = left[np.argsort(-log_expected_improvement(mean, std, proposal.fitted().predict(trained)[0].max()))[:4]]
    for _ in range(4):
        model = StructuredProcess().build(variables=table.space.variables)
        model.fit(trained, scores)
        best = model.predict(trained)[0].max()
        value = log_expected_improvement(*model.predict(left), best)
        row = left[int(value.argmax())]
        left = left[(left != row).any(axis=1)]
        trained, scores = np.vstack([trained, row]), np.append(scores, model.predict(row[None])[0])
        expected.append(row.tolist())
    asked = proposal.ask(4)
    assert asked.tolist() == expected != alone.tolist()
    assert np.isfinite(proposal.scores).all() and len(proposal.scores) == 8  # what is believed is told to nobody
