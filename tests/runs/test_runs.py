"""Run directories: locked, resumable, exact after a rewind, never half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.runs import checkpoint
from nas.runs.files import write_json
from nas.runs.result_file import read_environment
from nas.runs.run import Run, read_metrics

HOLD = """
import sys
from nas.runs.run import Run
with Run.open(sys.argv[1], None, "x", {}) as run:
    run.log("search", 0, loss=1.0)
    print("open", flush=True)
    sys.stdin.read()  # until it is killed
"""


def start(path: Path, resume: bool = False) -> Run:
    return Run.open(None if resume else str(path), str(path) if resume else None, "x", {"seed": 0, "a": {"b": [1]}})


def test_what_a_run_leaves(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.5, note="fine", missing=None)
        run.log("search", 1, loss=float("nan"))
        run.write_json("result.json", {"x": 1})
    assert Run.read_config(tmp_path / "r") == {"seed": 0, "a": {"b": [1]}}
    records = read_metrics(tmp_path / "r")
    assert [record["loss"] for record in records] == [0.5, None]
    assert records[0]["note"] == "fine" and records[0]["missing"] is None
    environment = json.loads((tmp_path / "r" / "env.json").read_text())
    assert environment["packages"]["torch"] and environment["cpu"] and environment["command"]
    assert json.loads((tmp_path / "r" / "result.json").read_text()) == {"x": 1}
    assert list((tmp_path / "r" / "tensorboard").glob("events*"))


def test_default_names_do_not_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Run.open(None, None, "fbnet-dnas", {}) as one, Run.open(None, None, "fbnet-dnas", {}) as two:
        assert one.path != two.path
        assert one.path.parent == Path("runs") and one.path.name.endswith("-fbnet-dnas")


def test_rewind_forgets_what_follows(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        for step in range(3):
            run.log("search", step, loss=float(step))
        run.log("train", 0, loss=9.0)
    with start(tmp_path / "r", resume=True) as run:
        assert run.resumed
        run.rewind("train", 1)  # nothing to forget
        assert len(run.records()) == 4
        run.rewind("search", 2)
        run.log("search", 2, loss=20.0)
        assert [record["loss"] for record in run.records()] == [0.0, 1.0, 20.0, 9.0]  # later phases stay behind it
        run.rewind("train", 0)
        run.log("train", 0, loss=90.0)
        assert [record["loss"] for record in run.records("search")] == [0.0, 1.0, 20.0]
        assert [record["loss"] for record in run.records()] == [0.0, 1.0, 20.0, 90.0]


def test_what_is_logged_again_is_what_it_was(tmp_path: Path) -> None:
    """A search whose trials are told again leaves the records as they were: their place, their times, the training."""
    with start(tmp_path / "r") as run:
        for step in range(3):
            run.log("search", step, score=float(step))
        run.log("train", 0, loss=1.0)
    before = (tmp_path / "r" / "metrics.jsonl").read_bytes()
    with start(tmp_path / "r", resume=True) as run:
        run.rewind("search", 0)
        assert [record["phase"] for record in run.records()] == ["train"]
        for step in range(3):
            run.log("search", step, score=float(step))
        run.rewind("train", 1)
    assert (tmp_path / "r" / "metrics.jsonl").read_bytes() == before


def test_rewind_within_a_session(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
        run.log("search", 1, loss=1.0)
        run.rewind("search", 1)
        run.log("search", 1, loss=10.0)
        assert [record["loss"] for record in run.records()] == [0.0, 10.0]


def test_tensorboard_agrees_with_metrics_after_rewind(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with start(tmp_path / "r") as run:
        for step in range(3):
            run.log("search", step, loss=float(step))
    with start(tmp_path / "r", resume=True) as run:
        run.rewind("search", 1)
        run.log("search", 1, loss=10.0)
    events = EventAccumulator(str(tmp_path / "r" / "tensorboard")).Reload().Scalars("search/loss")
    assert [(event.step, event.value) for event in events] == [(0, 0.0), (1, 10.0)]


def test_torn_last_line_is_dropped(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "sea')
    assert len(read_metrics(tmp_path / "r")) == 1
    with start(tmp_path / "r", resume=True) as run:
        run.log("search", 1, loss=1.0)
    assert [record["step"] for record in read_metrics(tmp_path / "r")] == [0, 1]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"command": 5}', '{"resumed": 5}'])
def test_a_lost_environment_does_not_block_a_run(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    file = tmp_path / "r" / "env.json"
    file.unlink() if content is None else file.write_text(content)
    with start(tmp_path / "r", resume=True):
        pass
    assert "env.json" in (said := capsys.readouterr().out) and "the run goes on" in said
    known = read_environment(tmp_path / "r")
    assert known["command"] and known["lost"] and len(known["resumed"]) == 1
    assert (tmp_path / "r" / "env.damaged.json").exists() == (content is not None)
    with start(tmp_path / "r", resume=True):
        assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nonsense", "not JSON"),
        (b'{"phase": "a", "st\xffep": 0, "time": 0}', "it is not text"),
        (b"[1, 2]", "a record is a mapping, this is a list"),
        (b'{"phase": 3, "step": 0, "time": 0}', "phase is 3"),
        (b'{"phase": "a", "step": "0", "time": 0}', "step is '0'"),
        (b'{"phase": "a", "step": 0, "time": 0, "loss": [1]}', "loss is neither a number nor a string"),
        pytest.param(b"[" * 20_000, "lists and objects are nested more than 64 deep", id="deep"),
    ],
)
def test_a_damaged_record_is_named_and_does_not_block_a_run(
    line: bytes, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(tmp_path / "r") as run:
        for step in range(2):
            run.log("search", step, loss=float(step))
    file = tmp_path / "r" / "metrics.jsonl"
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + line + b"\n" + second)
    with pytest.raises(ValueError, match=f"line 2 is damaged: .*{fault}.*; remove that line"):
        read_metrics(tmp_path / "r")
    with start(tmp_path / "r", resume=True) as run:
        assert [record["step"] for record in run.records()] == [0, 1]
    assert f"line 2 ({fault}" in capsys.readouterr().out
    assert line in (tmp_path / "r" / "metrics.damaged.jsonl").read_bytes()


def test_in_use_by_another_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "r")]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        with pytest.raises(ValueError, match=f"in use by another process .pid {holder.pid}."):
            start(tmp_path / "r", resume=True)
        with pytest.raises(ValueError, match="in use by another process"):
            start(tmp_path / "r")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with start(tmp_path / "r", resume=True) as run:  # a killed run can be continued at once
            assert len(run.records()) == 1
    finally:
        holder.kill()
        holder.communicate()


def test_refused_directories(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    with pytest.raises(ValueError, match="already holds a run"):
        start(tmp_path / "r")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("keep me")
    with pytest.raises(ValueError, match="not empty"):
        start(tmp_path / "full")
    assert (tmp_path / "full" / "letter.txt").read_text() == "keep me"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="in the way"):
        start(tmp_path / "file")
    with pytest.raises(ValueError, match="not a run directory"):
        start(tmp_path / "full", resume=True)


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "r", tmp_path / "new" / "er" / "r", tmp_path / "mine" / "r"):
        with pytest.raises(ValueError, match="unreachable") as caught, start(path) as run:
            run.write_json("table.json", {})  # what the budget is judged by
            raise ValueError("unreachable budget")
        assert not getattr(caught.value, "__notes__", [])  # nothing to resume
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(ValueError, match="late"), start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
        raise ValueError("late")
    assert (tmp_path / "r" / "metrics.jsonl").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk_while_logging(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"), start(tmp_path / "r") as run:
        (run.path / "metrics.jsonl").symlink_to("/dev/full")
        run.log("search", 0, loss=0.0)


@pytest.mark.parametrize("config", [None, "", "seed: [1,"])
def test_a_directory_that_a_full_disk_left_half_made_is_begun_again(
    config: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r"
    (path / "checkpoints").mkdir(parents=True)
    (path / "env.json").write_text("")
    (path / "table.json").write_text("half")
    (path / ".config-abcd1_34.yaml").write_text("se")
    if config is not None:
        (path / "config.yaml").write_text(config)
    with start(path) as run:
        assert not (path / "table.json").exists()
        run.log("search", 0, loss=0.0)
    assert "begun again" in capsys.readouterr().out
    assert Run.read_config(path)["seed"] == 0 and not (path / ".config-abcd1_34.yaml").exists()
    with pytest.raises(ValueError, match="already holds a run"):
        start(path)


def test_settings_changed_by_hand_are_named(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    config = tmp_path / "r" / "config.yaml"
    text = config.read_text()
    config.write_text("# a remark\n" + text)  # says the same
    start(tmp_path / "r", resume=True)._lock.close()
    config.write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(ValueError, match=r"seed is 0, asked is 1; its config\.yaml was changed by hand: put it back"):
        Run.open(None, str(tmp_path / "r"), "x", {"seed": 1, "a": {"b": [1]}})
    config.write_text(text)
    changed = {"seed": 0, "a": {"b": [2]}}  # on the command line, where it may change
    with Run.open(None, str(tmp_path / "r"), "x", changed):
        pass
    assert Run.read_config(tmp_path / "r") == changed
    with Run.open(None, str(tmp_path / "r"), "x", changed):
        pass


def test_a_renamed_run_directory_goes_on(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    (tmp_path / "r").rename(tmp_path / "s")
    with start(tmp_path / "s", resume=True) as run:
        assert len(run.records()) == 1


def test_only_a_fault_that_may_pass_can_be_continued(tmp_path: Path) -> None:
    """The same mistake again, with nothing done in between, will come a third time."""

    def notes(error: Exception, work: bool) -> list[str]:
        with pytest.raises(type(error)) as caught, start(tmp_path / "r", resume=(tmp_path / "r").exists()) as run:
            if work:
                run.log("search", len(run.records()), loss=0.0)
            raise error
        return getattr(caught.value, "__notes__", [])

    again = [f"resume={tmp_path / 'r'}"]
    assert notes(ValueError("diverged"), work=True) == again
    assert notes(ValueError("diverged"), work=True) == again
    assert notes(ValueError("diverged"), work=False) == []
    assert notes(OSError(28, "No space left on device"), work=False) == again


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(file: object, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.raises(ValueError, match=r"r/\.lock cannot be locked \(.*its file system has no locks; give run_dir="):
        start(tmp_path / "r")


def test_settings_that_unfold_to_too_much_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    for text, fault in (
        ("\n".join(lines), "its aliases unfold to 100,000 values or more"),
        ("a: &a [*a]", "it refers to itself"),
        ("a: " + "[" * 5000, "it is nested too deeply"),
        ("a: !!binary aGVsbG8=", "a bytes, which no setting is"),
    ):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(ValueError, match=rf"config\.yaml is damaged: .*{fault}"):
            Run.read_config(tmp_path)
    (tmp_path / "config.yaml").write_text("a: &a [1]\nb: *a\n")  # as such they are fine
    assert Run.read_config(tmp_path) == {"a": [1], "b": [1]}


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.pt": lambda path: checkpoint.save(path, {"weights": torch.randn(100_000)}),
    "a.safetensors": lambda path: checkpoint.save_weights(path, {"weights": torch.randn(100_000)}),
    "a.json": lambda path: write_json(path, list(range(100_000))),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_finds_no_room_leaves_what_was_there(name: str, tmp_path: Path) -> None:
    """The limit on the size of files stands in for a full disk."""
    path = tmp_path / name
    path.write_text("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            WRITERS[name](path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    assert path.read_text() == "before" and [entry.name for entry in tmp_path.iterdir()] == [name]
