"""Trials: none lost, none run twice, failures tried again, whoever dies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from nas.methods.candidates import trials as module
from nas.methods.candidates.trials import TrialStore
from search_spaces.space import Variable
from tests.processes import FORKED

VARIABLES = (Variable("kernel", (3, 5, 7), ordered=True), Variable("act", ("relu", "hswish")))
CANDIDATES = [(f"c{k}{a}", (k, a)) for k in range(3) for a in range(2)]


def store(path: Path, owner: str = "me", attempts: int = 2, **changes: Any) -> TrialStore:
    values = {"study": "s", "variables": VARIABLES, "identity": {"seed": 0}, **changes}
    return TrialStore(f"sqlite:///{path / 'trials.db'}", owner=owner, attempts=attempts, **values)


def test_a_round_is_run_and_read_back_in_order(tmp_path: Path) -> None:
    first = store(tmp_path)
    assert first.round(0) is None
    first.add(0, CANDIDATES)
    first.add(0, CANDIDATES)  # a second time changes nothing
    assert first.round(0) == CANDIDATES
    claims = []
    while (claim := first.claim()) is not None:
        claims.append(claim)
    assert [claim.candidate for claim in claims] == [name for name, _ in CANDIDATES]
    for i, claim in enumerate(reversed(claims)):
        first.finish(claim, float(i), {"epochs": i})
    first.close()
    again = store(tmp_path)
    assert [again.outcomes()[0, place].score for place in range(6)] == [5, 4, 3, 2, 1, 0]
    assert again.outcomes()[0, 5].figures == {"epochs": 0}
    again.close()


def test_failed_trials_are_tried_again_and_then_given_up_with_the_reason(tmp_path: Path) -> None:
    found = store(tmp_path)
    found.add(0, CANDIDATES[:1])
    for attempt in (1, 2):
        claim = found.claim()
        assert claim is not None and claim.attempt == attempt
        assert found.outcomes() == {}
        found.fail(claim, f"loss is nan ({attempt})")
    assert found.claim() is None
    outcome = found.outcomes()[0, 0]
    assert np.isnan(outcome.score) and outcome.reason == "loss is nan (2)"
    found.close()


def test_a_score_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    found = store(tmp_path, attempts=1)
    found.add(0, CANDIDATES[:1])
    claim = found.claim()
    assert claim is not None
    found.finish(claim, float("nan"), {})
    assert found.outcomes()[0, 0].reason == "the score is nan"
    found.close()


def test_what_a_killed_process_left_running_is_given_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = store(tmp_path, "dead", attempts=1)
    dead.add(0, CANDIDATES[:2])
    lost = dead.claim()
    assert lost is not None
    other = store(tmp_path, "other", attempts=1)
    assert other.recover() == 0  # it may still be alive
    assert store(tmp_path, "other", attempts=1).recover(restarted=True) == 0  # and is not ours
    monkeypatch.setattr(module, "GRACE_SECONDS", -1.0)
    assert other.recover() == 1
    monkeypatch.undo()
    claims = [other.claim(), other.claim()]
    assert [claim.attempt for claim in claims if claim] == [1, 1]  # being killed is not an attempt
    dead.finish(lost, 9.0, {})  # it was alive after all: too late
    for claim in claims:
        assert claim is not None
        other.finish(claim, 1.0, {})
    assert [outcome.score for outcome in other.outcomes().values()] == [1.0, 1.0]
    continued = store(tmp_path, "dead", attempts=1)
    continued.add(1, CANDIDATES[2:3])
    assert continued.claim() is not None
    assert store(tmp_path, "dead", attempts=1).recover(restarted=True) == 1


def test_a_trial_that_is_just_being_claimed_is_not_given_out_again(tmp_path: Path) -> None:
    """On databases without our lock another process may look between the claim and its first sign of life."""
    found = store(tmp_path)
    found.add(0, CANDIDATES[:1])
    (waiting,) = found.study.get_trials(deepcopy=False)
    found.storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING)
    assert store(tmp_path, "other").recover() == 0
    found.close()


def test_a_process_that_was_killed_within_a_claim_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = store(tmp_path)
    found.add(0, CANDIDATES[:1])

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(found.storage, "set_trial_user_attr", interrupted)
        found.claim()
    found.close()
    continued = store(tmp_path)
    assert continued.recover(restarted=True) == 1 and continued.claim() is not None
    continued.close()


def test_equal_candidates_are_trained_once(tmp_path: Path) -> None:
    found = store(tmp_path)
    found.add(0, [("same", (0, 0)), ("same", (1, 0))])
    claim = found.claim()
    assert claim is not None and found.claim() is None
    found.finish(claim, 3.0, {})
    assert found.claim() is None
    assert [outcome.score for outcome in found.outcomes().values()] == [3.0, 3.0]
    found.close()


def test_a_study_of_another_search_is_refused(tmp_path: Path) -> None:
    store(tmp_path)
    with pytest.raises(ValueError, match="study 's' belongs to something else: seed is 0, asked is 1; name another"):
        store(tmp_path, identity={"seed": 1})


def test_a_storage_that_cannot_be_opened_is_refused() -> None:
    with pytest.raises(ValueError, match=r"search\.storage='nonsense' cannot be opened"):
        TrialStore("nonsense", "s", VARIABLES, owner="me", attempts=1, identity={})


def _work(path: str, owner: str, log: str) -> None:
    found = store(Path(path), owner)
    many = [(f"n{i}", (i % 3, i % 2)) for i in range(40)]
    found.add(0, many)
    while (claim := found.claim()) is not None:
        with Path(log).open("a") as file:
            file.write(f"{claim.candidate}\n")
        time.sleep(0.002)
        found.finish(claim, float(claim.number), {})
    found.close()


def test_processes_share_a_study_without_losing_or_repeating_a_trial(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [FORKED.Process(target=_work, args=(str(tmp_path), f"p{i}", str(log))) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(log.read_text().split()) == sorted(f"n{i}" for i in range(40))
    found = store(tmp_path)
    assert len(found.outcomes()) == 40
    found.close()
