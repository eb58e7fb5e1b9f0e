"""Candidates that are proposed while others train: no worker waits for a slow one, and no order of ends changes what is
found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.methods.evolution import Front
from nas.methods.predictor import PredictorProposal
from nas.methods.random import RandomSearch
from nas.methods.regularized_evolution import RegularizedEvolution
from nas.runs.run import read_metrics
from predictors.baselines import Baseline
from search_spaces.space import Population
from tests.methods.candidates import pretended
from tests.methods.candidates.test_candidate_search import Pretended, search

pytestmark = pytest.mark.usefixtures("light_studies")


def test_a_free_worker_trains_the_next_candidate_while_another_trains(tmp_path: Path) -> None:
    """With one candidate beyond the workers proposed, the second worker trains two while the first one trains one."""
    executor = Pretended(workers=2)
    search(tmp_path / "run", executor, batch=3)
    told = [record["candidate"] for record in read_metrics(tmp_path / "run")]
    trained = [job.candidate for job in executor.seen]
    assert trained[:3] == [told[1], told[2], told[0]] and sorted(trained) == sorted(told)


@pytest.mark.parametrize(
    ("method", "batch"),
    [
        *((pretended.METHOD, batch) for batch in (1, 2, 5)),
        (RandomSearch(), 2),
        (RegularizedEvolution(population_size=4, sample_size=2), 5),
    ],
)
def test_what_is_under_way_is_a_matter_of_the_batch_alone(method: Any, batch: int, tmp_path: Path) -> None:
    """Whatever ends first, and wherever it was interrupted, what is proposed is the same."""
    one = search(tmp_path / "one", Pretended(), method=method, batch=batch)
    many = search(tmp_path / "many", Pretended(workers=4), method=method, batch=batch)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "part", Pretended(workers=3, die_after=6), method=method, batch=batch)
    rest = search(tmp_path / "part", Pretended(), resume=True, method=method, batch=batch)
    for other in (many, rest):
        np.testing.assert_array_equal(one.genotypes, other.genotypes)


def test_a_predictor_learns_from_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start is `initial` candidates however many are under way; then it has seen all but what is not told."""
    fitted: list[int] = []
    fit = Baseline.fit

    def counted(self: Baseline, genotypes: Population, scores: Any) -> None:
        fitted.append(len(genotypes))
        fit(self, genotypes, scores)

    monkeypatch.setattr(Baseline, "fit", counted)
    search(tmp_path / "run", Pretended(workers=3), batch=3)
    start, last = pretended.METHOD.initial, 10 - 2
    expected = [size for asked in range(start, last) for size in (asked - 2, asked)]  # without and with the two pending
    assert fitted == [*expected, last]


def test_as_many_are_trained_where_evolution_names_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    front = PredictorProposal.front

    def of_one(proposal: PredictorProposal, maxima: Any) -> Front:
        found = front(proposal, maxima)
        return Front((found.genotypes[0][:1],), (found.scores[0][:1],), found.evaluations)

    monkeypatch.setattr(PredictorProposal, "front", of_one)
    executor = Pretended()
    assert len(search(tmp_path / "run", executor, finalists=3).genotypes) == len(executor.seen) == 10
