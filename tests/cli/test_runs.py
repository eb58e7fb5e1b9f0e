"""Run directories: locked, resumable, exact after a rewind, never half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nas.runs import Run, read_metrics

HOLD = """
import sys
from nas.runs import Run
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
        run.log("train", 0, loss=90.0)
        assert [record["loss"] for record in run.records("search")] == [0.0, 1.0, 20.0]
        assert [record["loss"] for record in run.records()] == [0.0, 1.0, 20.0, 90.0]


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


def test_a_damaged_environment_is_named(tmp_path: Path) -> None:
    with start(tmp_path / "r") as run:
        run.log("search", 0, loss=0.0)
    (tmp_path / "r" / "env.json").write_text("{")
    with pytest.raises(ValueError, match=r"env\.json is damaged"):
        start(tmp_path / "r", resume=True)


def test_damaged_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"phase": "a", "step": 0}\nnonsense\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(tmp_path)


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
