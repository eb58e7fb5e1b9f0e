"""Run directories: locked, resumable, exact after a rewind, never half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nas.runs.result_file import read_environment
from nas.runs.resuming import go_on
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


def test_epochs_whose_checkpoint_is_gone_are_not_done_again_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One epoch may be recorded and not kept: a process was killed in between."""
    checkpoint = tmp_path / "r" / "checkpoints" / "train.pt"
    for recorded, done, is_said in ((1, 0, False), (3, 2, False), (3, 0, True)):
        with start(tmp_path / "r", resume=(tmp_path / "r").exists()) as run:
            run.rewind("train", 0)
            for step in range(recorded):
                run.log("train", step, loss=1.0)
            go_on(run, "train", done, checkpoint)
            assert len(run.records("train")) == done
        said = f"has recorded 3 epochs of train, which {checkpoint} lacks: they are done again"
        assert (said in " ".join(capsys.readouterr().out.split())) == is_said
    with start(tmp_path / "r", resume=True) as run:  # so where that of another network was set aside before
        checkpoint.with_name("before-train.pt").touch()
        for step in range(3):
            run.log("train", step, loss=1.0)
        go_on(run, "train", 0, checkpoint)
    assert said in " ".join(capsys.readouterr().out.split())


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
    with pytest.raises(ValueError, match=r"already holds a run; continue it with .*resume=.* or name another"):
        start(tmp_path / "r")
    (tmp_path / "r" / "env.json").write_text('{"command": "python -m nas.evaluate arch=a"}')
    with pytest.raises(ValueError, match="already holds a run; name another"):  # an evaluation has nothing to go on
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
