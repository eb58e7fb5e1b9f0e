"""Studies that are reused: only by the same search, only within the budgets, whatever a folder is called."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.derive.budget import BudgetRequest, count_limits
from nas.methods.candidates.loop import CandidateSearch, Found, search_candidates
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import TrainingJob
from nas.methods.random import RandomSearch
from nas.methods.tpe import TPE
from nas.runs.run import Run, read_metrics
from nas.train.start.teacher import Teacher
from search_spaces.pricing.budgets import Feasible
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace
from tests.methods.candidates import pretended
from tests.methods.candidates.pretended import digits_job, joint_space, made_up_percent
from tests.methods.gradient_task import few_layers

BASE = Recipe(epochs=1, batch_size=64, lr=0.01)
SPACE = joint_space(BASE)
SETTINGS = CandidateSettings(
    trials=4, batch=2, finalists=0, epochs=None, validation_fraction=0.2, attempts=1, storage=None, study=None
)


class Pretended(pretended.Pretended):
    def result(self, job: TrainingJob) -> dict[str, Any]:
        return {"top1_percent": made_up_percent(job.candidate), "epochs": 1}


def search(
    folder: Path,
    space: JointSpace = SPACE,
    macs: int | None = 40_000,
    method: Any = None,
    job: dict[str, Any] | None = None,
    executor: Any = None,
    resume: bool = False,
    **settings: Any,
) -> Found:
    """A search of `folder`, whose jobs have the fields `job`."""

    def job_of(candidate: str, genotype: Genotype) -> TrainingJob:
        return dataclasses.replace(digits_job(space, candidate, genotype, 0.2), **(job or {}))

    feasible = Feasible(space, count_limits(space, BudgetRequest(macs=macs)))
    changed = dataclasses.replace(SETTINGS, **settings)
    seed = (job or {}).get("seed", 0)
    with Run.open(None if resume else str(folder), str(folder) if resume else None, "x", {}) as run:
        search = CandidateSearch(
            method or RandomSearch(), feasible, TrainingScorer(job_of), executor or Pretended(), changed, seed
        )
        return search_candidates(run, search)


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"job": {"fingerprint": "noise"}}, 'data is "digits", asked is "noise"'),
    ({"job": {"validation_fraction": 0.5}}, "validation_fraction is 0.2, asked is 0.5"),
    ({"job": {"train_images": 200}}, "images is null, asked is 200"),
    ({"job": {"seed": 1}}, "seed is 0, asked is 1"),
    ({"job": {"precision": "bf16"}}, 'precision is "no", asked is "bf16"'),
    ({"job": {"teacher": Teacher("t", digest="a")}}, 'distillation is null, asked is {"teacher": "a"'),
    ({"space": joint_space(dataclasses.replace(BASE, epochs=2))}, "recipe.epochs is 1, asked is 2"),
    ({"space": joint_space(dataclasses.replace(BASE, augment="flip"))}, 'recipe.augment is "none", asked is "flip"'),
    ({"macs": 30_000}, "budget.macs is 40000.0, asked is 30000.0"),
    ({"macs": None}, "budget.macs is 40000.0, asked is null"),
    ({"method": TPE(startup_candidates=2)}, "method._target_ is"),
    ({"settings": {"trials": 9, "stop_correlation": 0.9}}, "stop_correlation is null, asked is 0.9"),
]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A storage with the finished study `common`."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder / 'shared.db'}"
    search(folder / "first", storage=url, study="common")
    return url


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended, to be copied."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    search(folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """It ended in this folder."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize(("other", "message"), OTHERS, ids=[message.split(" is ")[0] for _, message in OTHERS])
def test_a_study_of_another_search_is_refused_by_what_differs(
    other: dict[str, Any], message: str, storage: str, tmp_path: Path
) -> None:
    executor = Pretended()
    with pytest.raises(ValueError, match="study 'common' belongs to something else") as refused:
        settings = other.get("settings", {})
        rest = {key: value for key, value in other.items() if key != "settings"}
        search(tmp_path / "second", storage=storage, study="common", executor=executor, **rest, **settings)
    assert message in str(refused.value) and "name another search.study" in str(refused.value)
    assert executor.seen == [] and not (tmp_path / "second").exists()


def test_a_run_goes_on_where_its_candidates_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative storage names another file in another folder: candidates would be trained again there, unasked."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    search(Path("run"), storage="sqlite:///trials.db")
    monkeypatch.chdir(tmp_path / "there")
    executor = Pretended()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"there/trials\.db\) does not hold study 'search-.*sqlite:////"):
            search(Path("../here/run"), storage="sqlite:///trials.db", executor=executor, resume=True)
    search(Path("other"), storage="sqlite:///trials.db")  # a study of another search makes no difference
    with pytest.raises(ValueError, match="does not hold study"):
        search(Path("../here/run"), storage="sqlite:///trials.db", executor=executor, resume=True)
    for storage in ("sqlite:///../here/trials.db", "sqlite:///file:../here/trials.db?uri=true"):
        search(Path("../here/run"), storage=storage, executor=executor, resume=True)
    assert executor.seen == []


@pytest.mark.parametrize("loss", ["gone", "empty", "of another run"])
def test_a_run_does_not_train_again_what_its_lost_study_had(loss: str, run: Path, tmp_path: Path) -> None:
    file, executor = run / "trials.db", Pretended()
    file.unlink()
    if loss == "empty":
        file.touch()
    if loss == "of another run":
        search(tmp_path / "other")
        shutil.copy(tmp_path / "other" / "trials.db", file)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"run/trials\.db does not hold study 'search-.*put the file back"):
            search(tmp_path / "run", executor=executor, resume=True)
    assert executor.seen == [] and file.exists() == (loss != "gone")


@pytest.mark.parametrize("loss", ["gone", "damaged"])
def test_a_run_that_lost_the_name_of_its_study_trains_nothing_again(loss: str, run: Path, tmp_path: Path) -> None:
    """By another name it would begin another study, beside the one that has its candidates."""
    file, executor = tmp_path / "run" / "checkpoints" / "id.json", Pretended()
    known = file.read_text()
    file.unlink() if loss == "gone" else file.write_text("{")
    with pytest.raises(ValueError, match=r"id\.json is (gone|damaged).*; put it back, it names the study"):
        search(tmp_path / "run", executor=executor, resume=True)
    file.write_text(known)
    search(tmp_path / "run", executor=executor, resume=True)
    if loss == "gone":
        named = {"storage": f"sqlite:///{tmp_path / 'shared.db'}", "study": "common"}
        search(tmp_path / "other", **named)
        (tmp_path / "other" / "checkpoints" / "id.json").unlink()  # of a named study it is the owner alone
        search(tmp_path / "other", executor=executor, resume=True, **named)
    assert executor.seen == []


def test_networks_of_the_same_names_are_not_the_same_space(storage: str, tmp_path: Path) -> None:
    """Equal variables, other widths behind them."""
    wide = few_layers(expansions=(1, 3), head_channels=64)
    with pytest.raises(ValueError, match="networks is"):
        search(tmp_path / "second", JointSpace(wide, SPACE.recipes), storage=storage, study="common")


def test_the_training_code_belongs_to_a_score(storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.methods.candidates.scorers.training.TRAINING_VERSION", 10_000)
    with pytest.raises(ValueError, match=r"training_version is \d+, asked is 10000"):
        search(tmp_path / "second", storage=storage, study="common")


def test_the_same_search_takes_over_what_is_there(storage: str, tmp_path: Path) -> None:
    executor = Pretended()
    found = search(tmp_path / "second", storage=storage, study="common", executor=executor)
    assert executor.seen == [] and len(found.genotypes) == 4


def test_no_candidate_over_the_budget_is_ever_taken_from_a_study(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the identity says nothing of budgets, as one that somebody wrote by hand might."""
    known: dict[str, Any] = {}
    monkeypatch.setattr("nas.methods.candidates.loop.study_identity", lambda *_: known)
    url = f"sqlite:///{tmp_path / 'other.db'}"
    search(tmp_path / "first", storage=url, study="common")
    macs = [record["costs"]["macs"] for record in json.loads((tmp_path / "first" / "trials.json").read_text())]
    with pytest.raises(ValueError, match=r"holds candidate \w+ with macs=\d+, over the budget of"):
        search(tmp_path / "second", macs=int(min(macs)) + 1, storage=url, study="common")


def test_two_runs_of_one_name_have_studies_of_their_own(tmp_path: Path) -> None:
    """A storage that is shared, no study named: `A/first` and `B/first` are two searches."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, other = Pretended(), Pretended()
    search(tmp_path / "A" / "first", storage=url, executor=one)
    search(tmp_path / "B" / "first", storage=url, executor=other, job={"fingerprint": "noise"})
    assert len(one.seen) == len(other.seen) == 4


@pytest.mark.parametrize("shared", [False, True])
def test_a_renamed_run_keeps_its_study(shared: bool, tmp_path: Path) -> None:
    settings = {"storage": f"sqlite:///{tmp_path / 'shared.db'}"} if shared else {}
    first, rest = Pretended(die_after=3), Pretended()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "run", executor=first, **settings)
    (tmp_path / "run").rename(tmp_path / "moved")
    search(tmp_path / "moved", executor=rest, resume=True, **settings)
    assert len(first.seen) + len(rest.seen) == 4


@pytest.mark.parametrize("name", ["a?b", "a%41", "{x}", "a#b c", "ä&="])
def test_signs_in_a_path_are_no_part_of_a_url(name: str, tmp_path: Path) -> None:
    one, other = Pretended(), Pretended()
    search(tmp_path / name, executor=one)
    assert len(one.seen) == 4 and (tmp_path / name / "trials.db").is_file()
    if name == "a%41":
        search(tmp_path / "aA", executor=other)
        assert len(other.seen) == 4


def test_a_finished_search_goes_on_with_more_trials(run: Path, tmp_path: Path) -> None:
    for name in ("result.json", "derived.json", "arch.json", "checkpoints/train.pt"):
        (tmp_path / "run" / name).write_text("old")
    (tmp_path / "run" / "model").mkdir()
    (tmp_path / "run" / "model" / "config.json").write_text("old")
    with Run.open(None, str(run), "x", {}) as opened:
        opened.log("train", 0, train_loss=1.0)
    before = read_metrics(tmp_path / "run")
    executor = Pretended()
    found = search(tmp_path / "run", resume=True, executor=executor, trials=8)
    assert len(executor.seen) == 4 and len(found.genotypes) == 8
    rows = read_metrics(tmp_path / "run")
    assert rows[:4] == before[:4] and [row["step"] for row in rows] == list(range(8))
    assert not any((tmp_path / "run" / name).exists() for name in ("result.json", "derived.json", "arch.json", "model"))
    assert (tmp_path / "run" / "before-model" / "config.json").exists()  # no more what the run hands over
    whole = search(tmp_path / "whole", trials=8)
    np.testing.assert_array_equal(found.genotypes, whole.genotypes)  # the rounds are as large in both
    with pytest.raises(ValueError, match="has proposed 8 candidates already; give search.trials=8 or more"):
        search(tmp_path / "run", resume=True, trials=4)


def test_what_was_logged_stays_when_a_run_is_continued(run: Path, tmp_path: Path) -> None:
    """Rows of the training that followed the search, and every time, are those of before."""
    with Run.open(None, str(run), "x", {}) as opened:
        opened.log("train", 0, train_loss=1.0)
    seconds = json.loads((tmp_path / "run" / "checkpoints" / "search.json").read_text())["seconds"]
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    found = search(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert found.seconds > seconds > 0


def test_a_copied_run_is_data_of_its_own(run: Path) -> None:
    executor = Pretended()
    search(run, resume=True, executor=executor, trials=6)
    assert len(executor.seen) == 2
