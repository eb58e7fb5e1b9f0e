"""Early stopping of candidate trainings: when it is decided, what it changes, and that nothing else does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.methods.candidates.early_stopping import (
    Stop,
    check_equal_lengths,
    comparable,
    decide,
    from_dict,
    to_dict,
    with_stop,
)
from nas.methods.candidates.loop import Found
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.methods.candidates.trials import Outcome
from nas.methods.candidates.trials_file import read_trials
from nas.methods.random import RandomSearch
from nas.runs.run import read_metrics
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from tests.methods.candidates import pretended
from tests.methods.candidates.in_process import InProcess
from tests.methods.candidates.pretended import digits_job, joint_space, made_up_percent

pytestmark = pytest.mark.usefixtures("light_studies")

BASE = Recipe(epochs=4, batch_size=64, lr=0.01, ema_decay=0.9, optimizer="adamw")
SPACE = joint_space(BASE)
SETTINGS = CandidateSettings(
    trials=18,
    batch=8,
    finalists=2,
    epochs=None,
    validation_fraction=0.2,
    attempts=1,
    storage=None,
    study=None,
    stop_correlation=0.92,
)


def curve_of(candidate: str) -> list[float]:
    """Hand-made: the first epoch ranks candidates backwards, the second as the last does, but for the scale."""
    last = made_up_percent(candidate)
    return [100 - last, last / 2, last - 0.5, last]


class Pretended(pretended.Pretended):
    """Trainings have the curves of `curve_of`; those whose number is in `lost` fail."""

    def __init__(self, die_after: int | None = None, lost: tuple[int, ...] = ()) -> None:
        super().__init__(1, die_after)
        self.lost = lost

    def result(self, job: TrainingJob) -> dict[str, Any]:
        if len(self.seen) - 1 in self.lost:
            raise ValueError("diverged")
        curve = curve_of(job.candidate)[: job.stop_epoch]
        return {"top1_percent": curve[-1], "epochs": len(curve)} | ({"curve": curve} if job.curve else {})

    @property
    def epochs(self) -> list[int]:
        """Epochs each training was allowed, in the order they ran."""
        return [job.stop_epoch or BASE.epochs for job in self.seen]


def search(folder: Path, executor: Any, **changes: Any) -> Found:
    return pretended.search(folder, executor, SPACE, [], SETTINGS, 0.7, **changes)


def job_of(candidate: str) -> TrainingJob:
    return digits_job(SPACE, candidate, (0,) * len(SPACE.variables), 0.7)


def outcome(place: int, curve: list[float], round_: int = 0) -> Outcome:
    return Outcome(f"c{round_}-{place}", (0,), round_, place, curve[-1] if curve else np.nan, {"curve": curve}, None)


def test_the_rule_at_hand_made_curves() -> None:
    """Spearman with one swap of neighbours among 8: 1 - 6 * 2 / (8 * 63) = 0.97619."""
    swapped = [1.0, 0, 2, 3, 4, 5, 6, 7]
    full = {(0, i): outcome(i, [7.0 - i, swapped[i], 1.0 * i]) for i in range(8)}
    stop = decide(full, 1, 0.92)
    assert stop is not None and (stop.epochs, stop.rounds, stop.candidates) == (2, 1, 8)
    assert stop.correlations == pytest.approx((-1, 1 - 12 / 504, 1))
    stricter = decide(full, 1, 0.98)
    assert stricter is not None and stricter.epochs == 3
    assert from_dict(json.loads(json.dumps(to_dict(stop)))) == stop and from_dict(None) is None
    assert [comparable(full[0, i], stop).score for i in range(8)] == swapped
    later = {(1, i): outcome(i, [0.0], 1) for i in range(3)}  # of rounds that are not asked about
    assert decide(full | later, 1, 0.92) == stop
    job = job_of("abc")
    assert with_stop(job, stop, 0) == dataclasses.replace(job, curve=True)
    assert with_stop(job, stop, 1) == dataclasses.replace(job, stop_epoch=2)
    short = Outcome("c1-0", (0,), 1, 0, 5.0, {"epochs": 2}, None)
    assert comparable(short, stop) == short  # ended where the others are compared


def test_too_little_to_decide_on() -> None:
    few = {(0, i): outcome(i, [1.0 * i, 1.0 * i]) for i in range(7)}
    assert decide(few, 1, 0.92) is None
    assert decide(few | {(0, 7): outcome(7, [])}, 1, 0.92) is None  # a failed one has no curve
    assert decide(few | {(1, 0): outcome(0, [9.0, 9.0], 1)}, 2, 0.92) is not None
    assert decide({(0, i): outcome(i, [1.0 * i, 50.0]) for i in range(8)}, 1, 0.92) is None  # all end alike


def test_later_candidates_stop_where_the_first_batch_says(tmp_path: Path) -> None:
    executor = Pretended()
    found = search(tmp_path / "run", executor)
    assert executor.epochs == [4] * 8 + [2] * 10
    expected = [curve_of(job.candidate)[1] for job in executor.seen]  # all scored at epoch 2
    np.testing.assert_allclose(np.sort(found.scores), np.sort(expected))
    _, scores = read_trials(tmp_path / "run", SPACE)
    np.testing.assert_allclose(np.sort(scores), np.sort(expected))
    records = json.loads((tmp_path / "run" / "trials.json").read_text())
    assert [len(record["figures"].get("curve", [])) for record in records] == [4] * 8 + [0] * 10
    logged = [record["validation_top1_percent"] for record in read_metrics(tmp_path / "run")]
    assert sorted(logged) == pytest.approx(sorted(expected))


def test_without_the_key_every_training_is_whole(tmp_path: Path) -> None:
    executor = Pretended()
    search(tmp_path / "run", executor, stop_correlation=None)
    assert executor.epochs == [4] * 18 and not any(job.curve for job in executor.seen)


def test_small_rounds_train_in_full_until_there_are_enough(tmp_path: Path) -> None:
    """Rounds of 3: decided after the third; what was told before counts at the chosen epoch from then on."""
    executor = Pretended()
    found = search(tmp_path / "run", executor, batch=3)
    assert executor.epochs == [4] * 9 + [2] * 9
    np.testing.assert_allclose(np.sort(found.scores), sorted(curve_of(job.candidate)[1] for job in executor.seen))
    assert [record["step"] for record in read_metrics(tmp_path / "run")] == list(range(18))
    executor = Pretended(lost=(5,))
    search(tmp_path / "lost", executor)  # 7 curves of the first 8 are too few
    assert executor.epochs == [4] * 16 + [2] * 2


@pytest.mark.parametrize(("batch", "moment"), [(8, 5), (8, 12), (3, 9), (3, 11)])
def test_an_interrupted_search_goes_on_and_ends_the_same(batch: int, moment: int, tmp_path: Path) -> None:
    whole = Pretended()
    expected = search(tmp_path / "whole", whole, batch=batch)
    first, rest = Pretended(die_after=moment), Pretended()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "part", first, batch=batch)
    found = search(tmp_path / "part", rest, resume=True, batch=batch)
    np.testing.assert_array_equal(found.genotypes, expected.genotypes)
    np.testing.assert_array_equal(found.scores, expected.scores)
    assert first.epochs + rest.epochs == whole.epochs
    records = [
        [{k: v for k, v in r.items() if k != "time"} for r in read_metrics(tmp_path / n)] for n in ("whole", "part")
    ]
    assert records[0] == records[1]


def test_a_shared_study_keeps_its_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second process trains the rest as short as the first decided, and another threshold is refused."""
    shared = {"storage": f"sqlite:///{tmp_path / 'shared.db'}", "study": "common"}
    one, other = Pretended(die_after=9), Pretended()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "one", one, **shared)
    monkeypatch.setattr("nas.methods.candidates.trials.GRACE_SECONDS", -1.0)  # the dead one is given up at once
    search(tmp_path / "other", other, **shared)
    assert one.epochs + other.epochs == [4] * 8 + [2] * 10
    with pytest.raises(ValueError, match="stop_correlation is 0.92, asked is 0.8; name another search.study"):
        search(tmp_path / "third", Pretended(), **shared, stop_correlation=0.8)


def test_a_training_stopped_early_is_the_beginning_of_the_whole_one() -> None:
    """Same learning rates, images and weights up to the stop: the curve is cut off, bit for bit."""
    job = dataclasses.replace(job_of("abc"), curve=True)
    whole, part = train_candidate(job), train_candidate(dataclasses.replace(job, stop_epoch=2))
    assert len(whole["curve"]) == whole["epochs"] == 4 and part["epochs"] == 2
    assert part["curve"] == whole["curve"][:2]
    assert whole["top1_percent"] == pytest.approx(whole["curve"][-1], abs=0.5)
    plain = train_candidate(dataclasses.replace(job, curve=False))
    assert plain["train_loss"] == whole["train_loss"] and "curve" not in plain  # looking changes nothing
    with pytest.raises(ValueError, match="stop_epoch must lie between 1 and the recipe's 4 epochs, got 5"):
        train_candidate(dataclasses.replace(job, stop_epoch=5))


def test_a_real_search_on_digits(tmp_path: Path) -> None:
    found = search(tmp_path / "run", InProcess(), method=RandomSearch(), trials=9, stop_correlation=0.1)
    records = json.loads((tmp_path / "run" / "trials.json").read_text())
    curves = [record["figures"]["curve"] for record in records[:8]]
    assert [len(curve) for curve in curves] == [4] * 8
    (epochs,) = {record["figures"]["epochs"] for record in records[8:]}
    expected = decide({(0, i): outcome(i, curve) for i, curve in enumerate(curves)}, 1, 0.1)
    assert isinstance(expected, Stop) and epochs == expected.epochs
    stopped = [record["figures"]["top1_percent"] for record in records[8:]]
    assert sorted(found.scores) == sorted([curve[epochs - 1] for curve in curves] + stopped)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop_correlation": 0.0}, "search.stop_correlation must be above 0 and at most 1, got 0"),
        ({"stop_correlation": 1.5}, "search.stop_correlation must be above 0 and at most 1, got 1.5"),
        ({"trials": 8}, "search.trials must be > 8, got 8"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SETTINGS, **changes)


def test_recipes_must_have_comparable_curves() -> None:
    check_equal_lengths(SPACE.recipes)
    with pytest.raises(ValueError, match=r"with recipe_space\.epochs their schedules differ"):
        check_equal_lengths(recipe_space(BASE, epochs=[2, 4]))
    with pytest.raises(ValueError, match="needs candidate trainings of >= 2 epochs, got 1"):
        check_equal_lengths(recipe_space(dataclasses.replace(BASE, epochs=1)))
