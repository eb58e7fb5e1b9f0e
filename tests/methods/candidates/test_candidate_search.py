"""The loop of candidate-by-candidate searches: who trains, when, and how often it dies changes nothing."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.budget import BudgetRequest, count_limits
from nas.methods.candidates.executors.base import Work
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.loop import Found
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import TrainingJob, search_recipe, train_candidate
from nas.methods.candidates.trials_file import read_trials
from nas.methods.predictor import PredictorProposal
from nas.methods.random import RandomSearch
from nas.runs.run import read_metrics
from search_spaces.recipe import Recipe
from search_spaces.space import Population
from tests.methods.candidates import pretended
from tests.methods.candidates.light_studies import no_database
from tests.methods.candidates.pretended import digits_job, joint_space, made_up_percent

BASE = Recipe(epochs=1, batch_size=64, lr=0.01)
SPACE = joint_space(BASE)
SETTINGS = CandidateSettings(
    trials=10, batch=3, finalists=2, epochs=None, validation_fraction=0.2, attempts=2, storage=None, study=None
)


class Pretended(pretended.Pretended):
    """Every training succeeds, or with `fail_first` the second one of each candidate."""

    def __init__(self, workers: int = 1, fail_first: bool = False, die_after: int | None = None) -> None:
        super().__init__(workers, die_after)
        self.fail_first = fail_first

    @property
    def trained(self) -> list[str]:
        return [job.candidate for job in self.seen]

    def result(self, job: TrainingJob) -> dict[str, Any]:
        if self.fail_first and self.trained.count(job.candidate) == 1:
            raise ValueError("diverged")
        return {"top1_percent": made_up_percent(job.candidate), "epochs": 1}


def search(folder: Path, executor: Any, **changes: Any) -> Found:
    return pretended.search(
        folder, executor, SPACE, count_limits(SPACE, BudgetRequest(macs=40_000)), SETTINGS, 0.2, **changes
    )


def test_what_is_found_does_not_depend_on_the_executor(tmp_path: Path) -> None:
    one = search(tmp_path / "one", Pretended())
    with pytest.MonkeyPatch.context() as patch:  # nor on where its trials are kept
        no_database(patch)
        three = search(tmp_path / "three", Pretended(workers=3))
    np.testing.assert_array_equal(one.genotypes, three.genotypes)
    assert len(one.genotypes) == 10 and (np.diff(one.scores) <= 0).all()
    genotypes, scores = read_trials(tmp_path / "one", SPACE)
    assert len(np.unique(genotypes, axis=0)) == 10 and np.isfinite(scores).all()
    macs = [record["costs"]["macs"] for record in json.loads((tmp_path / "one" / "trials.json").read_text())]
    assert macs == [SPACE.decode(g).macs for g in genotypes] and max(macs) <= 40_000
    steps = [record["step"] for record in read_metrics(tmp_path / "one")]
    assert steps == list(range(10))


@pytest.mark.parametrize(("moment", "with_database"), [(0, False), (2, False), (7, False), (9, True)])
def test_an_interrupted_search_goes_on_and_ends_the_same(
    moment: int, with_database: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_database:
        no_database(monkeypatch)
    expected = search(tmp_path / "whole", Pretended())
    executor = Pretended(workers=2, die_after=moment)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "part", executor)
    rest = Pretended(workers=2)
    found = search(tmp_path / "part", rest, resume=True)
    np.testing.assert_array_equal(found.genotypes, expected.genotypes)
    trained = executor.trained + rest.trained
    assert len(trained) == len(set(trained)) == 10  # nothing was trained twice
    records = [{k: v for k, v in r.items() if k != "time"} for r in read_metrics(tmp_path / "part")]
    assert records == [{k: v for k, v in r.items() if k != "time"} for r in read_metrics(tmp_path / "whole")]


def test_failures_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = Pretended(fail_first=True)
    found = search(tmp_path / "run", executor)
    no_database(monkeypatch)
    np.testing.assert_array_equal(found.genotypes, search(tmp_path / "fine", Pretended()).genotypes)
    assert len(executor.seen) == 20
    with pytest.raises(ValueError, match="none of 10 candidates could be trained; the last reason: ValueError: div"):
        search(tmp_path / "bad", Pretended(fail_first=True), method=RandomSearch(), attempts=1)


def test_a_real_training_is_the_same_in_another_process() -> None:
    genotype = (0,) * len(SPACE.variables)
    job = digits_job(SPACE, "abc", genotype, 0.2)
    here = train_candidate(job)
    with LocalExecutor(workers=1).open(train_candidate) as workers:
        workers.submit(1, job)
        while not (done := workers.wait(60)):
            pass
    assert done[0].error is None
    for key in ("top1_percent", "loss", "train_loss"):
        assert done[0].result[key] == here[key]
    assert train_candidate(dataclasses.replace(job, candidate="other"))["train_loss"] != here["train_loss"]


def test_a_candidate_may_train_on_a_part_of_the_images() -> None:
    """The same ones whatever is trained, the same share of each class; all the others judge, as without it."""
    job = digits_job(SPACE, "abc", (0,) * len(SPACE.variables), 0.2)
    whole, few = job.images(8), dataclasses.replace(job, train_images=200).images(8)
    assert (len(whole.train), len(few.train)) == (1078, 200) and few.test.fingerprint() == whole.test.fingerprint()
    assert min(counts := few.train.labels.bincount().tolist()) >= 19 and max(counts) <= 21
    assert dataclasses.replace(job, train_images=200, candidate="other").images(8) is few


def test_candidates_may_be_trained_for_fewer_epochs() -> None:
    recipe = Recipe(epochs=10, batch_size=32, lr=0.1, warmup_epochs=2)
    assert search_recipe(recipe, None) == recipe
    assert search_recipe(recipe, 5) == dataclasses.replace(recipe, epochs=5)
    assert search_recipe(recipe, 2).warmup == pytest.approx(0.2)
    steps = dataclasses.replace(recipe, schedule="multistep", milestones=(3,))
    assert search_recipe(steps, recipe.epochs) == steps
    with pytest.raises(ValueError, match=r"train\.epochs=2 cannot change the length .* set recipe\.epochs and"):
        search_recipe(steps, 2, "train.epochs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "search.trials must be >= 1, got 0"),
        ({"batch": 0}, "search.batch must be >= 1, got 0"),
        ({"finalists": -1}, "search.finalists must be >= 0, got -1"),
        ({"validation_fraction": 1.0}, "between 0 and 1, got 1.0"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    ("trials", "finalists", "last"),
    [(8, 2, 2), (5, 0, 0), (3, 4, 1), (1, 4, 0), (32, None, 4), (64, None, 4), (20, None, 2), (7, None, 0)],
)
def test_how_many_of_the_trials_are_finalists(trials: int, finalists: int | None, last: int) -> None:
    assert dataclasses.replace(SETTINGS, trials=trials, finalists=finalists).last(trials) == last


@pytest.mark.parametrize(("trials", "finalists", "last"), [(8, 2, 2), (8, None, 1), (3, 4, 1)])
def test_finalists_are_among_the_trials(
    trials: int, finalists: int | None, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many are trained as are asked, the last of them those that the predictor ranks first."""
    no_database(monkeypatch)
    ranked: list[int] = []
    finalists_of = PredictorProposal.finalists

    def counted(proposal: PredictorProposal, count: int) -> Population:
        ranked.append(count)
        return finalists_of(proposal, count)

    monkeypatch.setattr(PredictorProposal, "finalists", counted)
    executor = Pretended()
    found = search(tmp_path / "run", executor, trials=trials, finalists=finalists, batch=4)
    assert len(executor.seen) == len(found.genotypes) == trials and ranked == [last]
    records = json.loads((tmp_path / "run" / "trials.json").read_text())
    assert list(collections.Counter(record["round"] for record in records).values()) == [1] * (trials - last) + [last]
    other = search(tmp_path / "random", Pretended(), trials=trials, finalists=finalists, method=RandomSearch())
    assert len(other.genotypes) == trials and ranked == [last]  # no predictor, no finalists


def test_a_run_with_finalists_besides_its_trials_keeps_them(tmp_path: Path) -> None:
    """As runs were that began before finalists counted: 10 were proposed, and their settings say 8 and 2."""
    whole = search(tmp_path / "run", Pretended())
    again = Pretended()
    found = search(tmp_path / "run", again, resume=True, trials=8)
    assert again.seen == []
    np.testing.assert_array_equal(found.genotypes, whole.genotypes)
    with pytest.raises(ValueError, match="has proposed 10 candidates already; give search.trials=10 or more"):
        search(tmp_path / "run", Pretended(), resume=True, trials=7)
    grown = search(tmp_path / "run", again, resume=True, trials=13)
    assert len(again.seen) == 3 and len(grown.genotypes) == 13


def test_count_budgets_are_checked() -> None:
    with pytest.raises(ValueError, match="budget macs=10 is out of reach: networks of this space take"):
        count_limits(SPACE, BudgetRequest(macs=10))
    with pytest.raises(ValueError, match=r"budget\.params must be >= 1, got 0"):
        count_limits(SPACE, BudgetRequest(params=0))


def test_two_searches_share_one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one trained before it died is not trained by the other, which finds what a single search finds."""
    shared = {"storage": f"sqlite:///{tmp_path / 'shared.db'}", "study": "common"}
    with monkeypatch.context() as patch:
        no_database(patch)
        expected = search(tmp_path / "alone", Pretended())
    one, other, back = Pretended(die_after=5), Pretended(), Pretended()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "one", one, **shared)
    monkeypatch.setattr("nas.methods.candidates.trials.GRACE_SECONDS", -1.0)  # the dead one is given up at once
    found = search(tmp_path / "other", other, **shared)
    again = search(tmp_path / "one", back, resume=True, **shared)
    assert back.seen == [] and len(one.seen) + len(other.seen) == 10
    for result in (found, again):
        np.testing.assert_array_equal(result.genotypes, expected.genotypes)


def on_a_node(folder: Path, slow: str, work: Work, job: TrainingJob) -> Any:
    """`work`, noting in `folder` which of Ray's nodes does it; on node `slow` it lasts long enough to be killed."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    (folder / f"{node}-{job.candidate}").touch()
    if node == slow:
        time.sleep(5)
    return work(job)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_ray_node_that_dies_loses_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes on this machine, one killed in its second trial: all end, the lost one again, with the local result."""
    pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    from ray.cluster_utils import Cluster

    from nas.methods.candidates.executors.ray import RayExecutor

    settings: dict[str, Any] = {"method": RandomSearch(), "trials": 8, "batch": 4, "attempts": 3}
    local = search(tmp_path / "local", LocalExecutor(workers=1), **settings)
    # workers import this module by its name, from a folder that pytest puts on this process's path alone
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    memory = 100_000_000  # bytes of each node's object store
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": memory},
    )
    notes = tmp_path / "notes"
    notes.mkdir()
    ended = threading.Event()
    try:
        second = cluster.add_node(num_cpus=1, object_store_memory=memory)
        cluster.wait_for_nodes()

        def kill_one() -> None:
            while len(list(notes.glob(f"{second.node_id}-*"))) < 2 and not ended.wait(0.2):
                pass
            cluster.remove_node(second, allow_graceful=False)

        class Noting(RayExecutor):
            def open(self, work: Work) -> Any:
                return super().open(functools.partial(on_a_node, notes, second.node_id, work))

        killer = threading.Thread(target=kill_one, daemon=True)
        killer.start()
        found = search(tmp_path / "ray", Noting(address=cluster.address, workers=2), **settings)
        ended.set()
        killer.join(60)
    finally:
        cluster.shutdown()
    np.testing.assert_array_equal(found.genotypes, local.genotypes)
    np.testing.assert_array_equal(found.scores, local.scores)
    states = trial_states(tmp_path / "ray" / "trials.db")
    assert states["COMPLETE"] == 8 and states["RUNNING"] == states["WAITING"] == 0
    assert states["FAIL"] == 1  # what ran on the node that died
    nodes = collections.Counter(note.name.split("-")[0] for note in notes.iterdir())
    assert nodes[second.node_id] == 2 and sum(nodes.values()) == 9


def trial_states(path: Path) -> collections.Counter[str]:
    with sqlite3.connect(path) as database:
        return collections.Counter(state for (state,) in database.execute("select state from trials"))
