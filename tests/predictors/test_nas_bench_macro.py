"""Predictors on NAS-Bench-Macro: the published table is read as it is, and the figures of the experiment hold."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.predictor_ranking.tables import Table, macro
from predictors.fbnetv3 import FBNetV3
from predictors.metrics import kendall_tau
from predictors.pretraining import Pretraining
from predictors.process import StructuredProcess


@pytest.fixture(scope="module")
def table() -> Table:
    return macro()


def test_the_table_is_the_published_one(table: Table) -> None:
    assert len(table.targets) == 3**8 == len(np.unique(table.population, axis=0))
    best = table.targets.argmax()
    assert table.targets[best] == pytest.approx(93.127, abs=5e-4)
    assert "".join(map(str, table.population[best])) in ("22212220", "22212202")
    assert table.ceiling["two seeds"] == pytest.approx(0.881, abs=1e-3)
    assert kendall_tau(table.statistics["macs"], table.targets) == pytest.approx(0.556, abs=1e-3)


def test_statistics_are_looked_up(table: Table) -> None:
    look_up = table.look_up(("params", "macs"))
    assert look_up is not None
    rows = np.array([5, 6000, 77])
    expected = np.stack([table.statistics["params"][rows], table.statistics["macs"][rows]], axis=1)
    np.testing.assert_array_equal(look_up(table.population[rows]), expected)


@pytest.mark.parametrize(("size", "least"), [(20, 0.72), (50, 0.83), (100, 0.87)])
def test_structured_process_ranks_the_unseen(table: Table, size: int, least: float) -> None:
    order = np.random.default_rng(7).permutation(len(table.targets))
    train, rest = order[:size], order[size:]
    predictor = StructuredProcess().build(variables=table.variables)
    predictor.fit(table.population[train], table.targets[train])
    assert kendall_tau(predictor.predict(table.population[rest])[0], table.targets[rest]) > least


def test_pretraining_pays_under_the_same_schedule(table: Table) -> None:
    order = np.random.default_rng(7).permutation(len(table.targets))
    train, rest = order[:20], order[20:]
    taus = []
    for pretraining in (Pretraining(samples=50_000), None):
        card = FBNetV3(members=4, tuned_steps=0, pretraining=pretraining)
        predictor = card.build(variables=table.variables, statistics=table.look_up(("macs", "params")))
        predictor.fit(table.population[train], table.targets[train])
        taus.append(kendall_tau(predictor.predict(table.population[rest])[0], table.targets[rest]))
    assert taus[0] > taus[1] + 0.05 and taus[0] > 0.556  # better than counting MACs, too
