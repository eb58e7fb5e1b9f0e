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
from nas.methods.candidates.loop import CandidateSearch, search_candidates
from nas.methods.candidates.scorers.base import Scorer
from nas.methods.candidates.scorers.elastic import ElasticScorer, score_inherited
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.settings import CandidateSettings
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


SEARCHED = {
    "random": "from_card, widths",
    "regularized_evolution": "single_path",
    "tpe": "mobilenetv2",
    "nsga2": "rexnet",
    "predictor": "mobile",
}


@pytest.mark.parametrize("card", PROPOSALS)
def test_every_method_takes_the_elastic_scorer(card: str, tmp_path: Path) -> None:
    """Each method, on a space of another family: within the budget, scored, recorded."""
    space = JointSpace(SPACES[SEARCHED[card]](), recipe_space(RECIPE))
    found = search(tmp_path / "run", "elastic", space, method_of(card, PROPOSALS[card]), finalists=0)
    low, high = space.count("macs").reachable()
    assert len(found.genotypes) == 4 and (np.diff(found.scores) <= 0).all()
    assert (space.count("macs")(found.genotypes) <= low + 0.6 * (high - low)).all()
    trials = json.loads((tmp_path / "run" / "trials.json").read_text())
    assert sorted(trial["validation_top1_percent"] for trial in trials) == sorted(found.scores)


@pytest.mark.parametrize("name", [name for name in SPACES if name not in SEARCHED.values()])
def test_every_space_is_scored(name: str) -> None:
    space = JointSpace(SPACES[name](), recipe_space(RECIPE))
    scorer = scorer_of("elastic", space)
    genotype = tuple(int(gene) for gene in space.sample(1, np.random.default_rng(0))[0])
    figures = score_inherited(dataclasses.replace(scorer.job("c", genotype), statistics=64))
    assert 0 <= figures["top1_percent"] <= 100 and figures["seconds"] > 0


def test_scorers_are_recorded_alike(tmp_path: Path) -> None:
    space = JointSpace(few_layers(head_channels=16), recipe_space(RECIPE))
    trials = {}
    for kind in ("training", "elastic"):
        search(tmp_path / kind, kind, space, method_of("random", {}), trials=2, batch=2)
        trials[kind] = json.loads((tmp_path / kind / "trials.json").read_text())
    for trained, scored in zip(*trials.values(), strict=True):
        assert trained.keys() == scored.keys() and trained["costs"] == scored["costs"]
        assert trained["genotype"] == scored["genotype"] and trained["candidate"] == scored["candidate"]
    assert [t["validation_top1_percent"] for t in trials["training"]] != [
        t["validation_top1_percent"] for t in trials["elastic"]
    ]


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
