"""Scores from an elastic supernet: the contract of candidate methods, over spaces, and what a score depends on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.data.card import DataSource
from nas.data.digits import digits
from nas.methods.candidates.executors.base import Done, Work
from nas.methods.candidates.loop import CandidateSearch, CandidateSettings, search_candidates
from nas.methods.candidates.scorers.base import Scorer
from nas.methods.candidates.scorers.elastic import ElasticScorer, score_inherited
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.training_job import JobMaker
from nas.methods.elastic.network import ElasticNetwork
from nas.runs.run import Run
from nas.train.accelerator import Compute
from nas.train.accuracy import evaluate
from nas.train.averaging import estimate_statistics
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.wrappers.joint import JointSpace
from tests.methods.gradient_task import few_layers
from tests.methods.test_every_space_meets_every_method import PROPOSALS, SPACES, method_of

CARD = {"_target_": "nas.data.digits.digits", "resolution": None}
RECIPE = Recipe(1, 64, 0.01)
SETTINGS = CandidateSettings(4, 2, 1, None, 0.2, 1, None, None)


class Here:
    """An executor whose jobs run in this process."""

    capacity = 1

    def __init__(self) -> None:
        self.waiting: list[tuple[int, Any]] = []

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Here]:
        self.work = work
        yield self

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, pickle.loads(pickle.dumps(job))))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        return [Done(key, self.work(job))]


def scorer_of(kind: str, space: JointSpace) -> Scorer:
    source, compute = DataSource(CARD), Compute("cpu")
    if kind == "training":
        return TrainingScorer(JobMaker(space, source, "digits", 0.2, 0, compute))
    torch.manual_seed(0)
    supernet = ElasticNetwork(space.architectures)
    return ElasticScorer(space, supernet, {"networks": "x"}, source, "digits", 0.2, 0, 64, 128, compute)


def search(folder: Path, kind: str, space: JointSpace, method: Any, **changes: Any) -> Any:
    cost = space.count("macs")
    low, high = cost.reachable()
    feasible = Feasible(space, [Limit("macs", cost, low + 0.6 * (high - low))])
    settings = dataclasses.replace(SETTINGS, **changes)
    with Run.open(None if folder.exists() else str(folder), str(folder) if folder.exists() else None, "x", {}) as run:
        return search_candidates(run, CandidateSearch(method, feasible, scorer_of(kind, space), Here(), settings, 0))


@pytest.mark.parametrize(("kind", "card"), [("training", "random"), *(("elastic", card) for card in PROPOSALS)])
def test_every_method_takes_every_scorer(kind: str, card: str, tmp_path: Path) -> None:
    space = JointSpace(few_layers(head_channels=16), recipe_space(RECIPE))
    found = search(tmp_path / "run", kind, space, method_of(card, PROPOSALS[card]))
    assert len(found.genotypes) >= 4 and (np.diff(found.scores) <= 0).all()
    trials = json.loads((tmp_path / "run" / "trials.json").read_text())
    assert {"genotype", "candidate"} <= set(trials["trials"][0] if isinstance(trials, dict) else trials[0])


@pytest.mark.parametrize("name", [name for name in SPACES if name not in ("fbnetv3", "mobile", "mobile, one stride")])
def test_every_space_is_scored(name: str) -> None:
    space = JointSpace(SPACES[name](), recipe_space(RECIPE))
    scorer = scorer_of("elastic", space)
    genotype = tuple(int(gene) for gene in space.sample(1, np.random.default_rng(0))[0])
    figures = score_inherited(dataclasses.replace(scorer.job("c", genotype), statistics=64))
    assert 0 <= figures["top1_percent"] <= 100 and figures["seconds"] > 0


def test_a_score_is_that_of_the_network_taken_out() -> None:
    space = JointSpace(few_layers(), recipe_space(RECIPE))
    scorer = scorer_of("elastic", space)
    assert isinstance(scorer, ElasticScorer)
    genotype = tuple(int(gene) for gene in space.sample(1, np.random.default_rng(1))[0])
    data = digits(8).held_out(0.8, 0)
    network = scorer.supernet.extract(space.decode(genotype))
    estimate_statistics(network, data.train, 64, 0, 128)
    figures = score_inherited(scorer.job("c", genotype))
    for name, value in evaluate(network, data.test).items():
        assert figures[name] == pytest.approx(value, rel=1e-5)


def test_the_identity_holds_all_that_a_score_depends_on() -> None:
    space = JointSpace(few_layers(), recipe_space(RECIPE))
    feasible = Feasible(space, [])
    scorer = scorer_of("elastic", space)
    assert isinstance(scorer, ElasticScorer)
    known = dict(scorer.identity(feasible))
    for change in (
        {"trained": {"networks": "y"}},
        {"fingerprint": "other"},
        {"validation_fraction": 0.3},
        {"seed": 1},
        {"batch_size": 32},
        {"statistics": 256},
    ):
        assert dict(dataclasses.replace(scorer, **change).identity(feasible)) != known, change
    with torch.no_grad():
        scorer.supernet.places[0][0].conv.weight[0, 0, 0, 0] += 1e-3  # type: ignore[index,union-attr]
    assert dict(scorer.identity(feasible)) != known


def test_studies_of_the_two_scorers_do_not_mix(tmp_path: Path) -> None:
    space = JointSpace(few_layers(head_channels=16), recipe_space(RECIPE))
    method = method_of("random", {})
    search(tmp_path / "run", "elastic", space, method, trials=2, batch=2)
    with pytest.raises(ValueError, match="belongs to something else"):
        search(tmp_path / "run", "training", space, method, trials=2, batch=2)
