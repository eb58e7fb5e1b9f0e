"""What may be wrong with the file of a study: refused in one line, never believed, never waited for in silence."""

from __future__ import annotations

import errno
import fcntl
import json
import random
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy

from nas.methods.candidates import early_stopping, storage
from nas.methods.candidates.log import Clock
from nas.methods.candidates.shared_study import known_identity
from nas.methods.candidates.trials_file import read_trials, write_trials
from nas.runs import locks
from nas.terminal.error_lines import report
from search_spaces.pricing.budgets import Feasible
from search_spaces.recipe import Recipe
from tests.methods.candidates.pretended import joint_space
from tests.methods.candidates.test_trials import CANDIDATES, store


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[Any, Any]]:
    """The file of a study with two trained candidates; what came out."""
    path = tmp_path_factory.mktemp("study")
    found = store(path)
    found.add(0, CANDIDATES[:3])
    for i in range(2):
        claim = found.claim()
        assert claim is not None
        found.finish(claim, 10.0 + i, {"top1_percent": 10.0 + i, "curve": [1.0, 2.0], "loss": float("inf")})
    outcomes = found.outcomes()
    assert outcomes[0, 0].figures["loss"] is None
    found.close()
    return (path / "trials.db").read_bytes(), outcomes


@pytest.fixture
def file(tmp_path: Path, intact: tuple[bytes, dict[Any, Any]]) -> Path:
    """A copy of that file."""
    (tmp_path / "trials.db").write_bytes(intact[0])
    return tmp_path / "trials.db"


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_a_damaged_file_is_refused_or_says_the_same(
    file: Path, intact: tuple[bytes, dict[Any, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (whole, expected), rng, refused = intact, random.Random(1), 0
    for number in range(15):
        damaged = bytearray(whole)
        start = rng.randrange(16) if number < 5 else rng.randrange(len(damaged) - 16)
        damaged[start : start + 16] = rng.randbytes(16)
        file.write_bytes(damaged if number % 3 else damaged[: start + 1])
        try:
            found = store(tmp_path)
            outcomes = found.outcomes()
            found.close()
        except ValueError as error:
            assert str(file) in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert outcomes.items() <= expected.items()
    assert refused > 3
    capfd.readouterr()  # warnings of Optuna


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("update trial_values set value = 99 where trial_id = 2", "trial 1 does not have the score and figures it was"),
        (
            "update trial_values set value = 101 where trial_id = 2",
            "score 101.0, which is not a percentage",
        ),
        ("update trial_user_attributes set value_json='[9, 9]' where key='genotype'", "has a gene 9 where 0..2 are"),
        ("update trial_user_attributes set value_json='\"x\"' where key='genotype'", "genotype x, not a list of 2"),
        ("update trial_user_attributes set value_json='null' where key='round'", "trial 0 has round None"),
        ("update trial_user_attributes set value_json='7' where key='figures'", "trial 0 has figures 7"),
        ("update trial_user_attributes set value_json='{' where key='place'", "is damaged: Expecting property name"),
        ("update study_user_attributes set value_json='3'", "its identity is 3"),
        ("update study_user_attributes set value_json=null", "is damaged: the JSON object must be str"),
        ("update study_directions set direction='0'", "is damaged or was made by another version of Optuna"),
        ("update alembic_version set version_num='x'", "is damaged or was made by another version of Optuna"),
        ("update trial_params set param_value=9e999", "is damaged: cannot convert float infinity"),
        ("delete from study_user_attributes", "holds trials and does not say of which search"),
        ("drop table trial_values", "trial 0 has score None"),
    ],
)
def test_trials_of_other_types_and_values_are_refused(change: str, message: str, file: Path, tmp_path: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute(change)
    database.close()
    with pytest.raises(ValueError, match=message):
        store(tmp_path).outcomes()


def test_a_full_disk_is_called_that(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = store(tmp_path)

    def limit(connection: Any, *_: Any) -> None:
        connection.execute(f"pragma max_page_count = {connection.execute('pragma page_count').fetchone()[0]}")

    sqlalchemy.event.listen(found.storage.engine, "checkout", limit)
    with pytest.raises(OSError) as full:
        found.add(1, [("c" * 500_000, (0, 0))])
    assert full.value.errno == errno.ENOSPC and full.value.filename == str(file)
    assert report(full.value, "search", [], debug=False) == 2
    assert capsys.readouterr().err == f"error: the disk is full (writing {file}); free some space and try again\n"
    found.close()


def test_a_wait_for_another_process_is_said_and_ends(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both locks: the database's own, and ours beside it."""
    monkeypatch.setattr(locks, "SAY_SECONDS", 0.1)
    monkeypatch.setattr(locks, "GIVE_UP_SECONDS", 0.3)
    monkeypatch.setattr(storage, "BUSY_SECONDS", 0.3)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("begin exclusive")
    with pytest.raises(ValueError, match=r"trials\.db is locked by another process and stayed so; end it or wait"):
        store(tmp_path)
    other.close()
    with (tmp_path / "trials.db.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=r"trials\.db\.lock was locked by another process for"):
            store(tmp_path)
    said = capfd.readouterr().out.replace("\n", "")
    assert said.count("waiting for") >= 2 and "trials.db: slow, or in use by another process" in said


def test_a_study_that_is_locked_for_a_moment_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only asks for it waits as a search does: it would begin otherwise than the study that it joins."""
    found = store(tmp_path)
    url, name = found.url, found.study.study_name
    found.close()
    known = known_identity(url, name)
    assert known and storage.holds(url, name)
    other = sqlite3.connect(str(storage.sqlite_file(url)), isolation_level=None, check_same_thread=False)

    def asked(seconds: float, patience: float) -> bool:
        monkeypatch.setattr(storage, "BUSY_SECONDS", patience)
        other.execute("begin exclusive")
        later = threading.Timer(seconds, lambda: other.execute("rollback"))
        later.start()
        try:
            return known_identity(url, name) == known
        finally:
            later.join()

    assert asked(0.3, 20.0)
    with pytest.raises(ValueError, match=r"trials\.db is locked by another process and stayed so"):
        asked(1.0, 0.05)
    other.close()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr("nas.runs.locks.fcntl.flock", none)
    with pytest.raises(ValueError, match=r"trials\.db\.lock cannot be locked .*put it on a local disk, or name a data"):
        store(tmp_path)


def test_more_attempts_are_another_chance_for_what_was_given_up(tmp_path: Path) -> None:
    found = store(tmp_path, attempts=1)
    found.add(0, CANDIDATES[:1])
    claim = found.claim()
    assert claim is not None
    found.fail(claim, "out of memory")
    assert found.recover(restarted=True) == 0
    found.close()
    more = store(tmp_path, attempts=3)
    assert more.recover(restarted=True) == 1
    again = more.claim()
    assert again is not None and again.attempt == 2
    more.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda records: {"a": 1}, "it is not a list of trials"),
        (lambda records: [7], "trial 0 is 7"),
        (lambda records: [{**records[0], "validation_top1_percent": "9"}], "trial 0 has score '9'"),
        (lambda records: [{**records[0], "validation_top1_percent": 99.0}], "trial 0 was changed since it was written"),
        (lambda records: [{**records[0], "genotype": [2**40]}], "genotype"),
        (lambda records: [{**records[0], "genotype": None}], "genotype None"),
    ],
)
def test_changed_records_of_trials_are_refused(change: Any, message: str, tmp_path: Path) -> None:
    space = joint_space(Recipe(epochs=1, batch_size=64, lr=0.01))
    genotype = tuple(int(g) for g in space.sample(1, np.random.default_rng(0))[0])
    outcome = early_stopping.Outcome(space.candidate_id(genotype), genotype, 0, 0, 50.0, {}, None)
    file = write_trials(tmp_path, Feasible(space), [outcome])
    read_trials(tmp_path, space)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(ValueError, match=message) as refused:
        read_trials(tmp_path, space)
    assert "resume the run, which writes it anew" in str(refused.value)


@pytest.mark.parametrize("text", ["[]", '{"seconds": "x"}', '{"seconds": -1}', '{"seconds": true}', "{}", "{"])
def test_a_damaged_clock_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text(text)
    with pytest.raises(ValueError, match=r"note of a search .*search\.json.*; remove it and resume the run"):
        Clock(tmp_path / "search.json")


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"epochs": 4}, {"rounds": "1"}, {"correlations": 3}, {"correlations": [2.0]}, {"candidates": None}],
)
def test_a_damaged_note_on_early_stopping_is_refused(change: dict[str, Any]) -> None:
    note = {"epochs": 1, "rounds": 1, "candidates": 8, "correlations": [0.5, 1.0]}
    assert early_stopping.from_dict(note) is not None
    with pytest.raises(ValueError, match="note on early stopping is damaged"):
        early_stopping.from_dict({**note, **change})
