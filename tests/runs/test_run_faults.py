"""Run directories on disks that are full, lost or foreign, and what is left in them."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nas.runs import checkpoint
from nas.runs.files import write_atomic, write_json
from nas.runs.run import Run
from tests.runs.test_runs import start


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "r", tmp_path / "new" / "er" / "r", tmp_path / "mine" / "r"):
        with pytest.raises(ValueError, match="unreachable") as caught, start(path) as run:
            run.write_json("table.json", {})  # what the budget is judged by
            raise ValueError("unreachable budget")
        assert not getattr(caught.value, "__notes__", [])  # nothing to resume
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "link").symlink_to("mine")
    for path in (tmp_path / "mine", tmp_path / "link"):  # folders of the user's own stay
        with pytest.raises(ValueError, match="unreachable"), start(path):
            raise ValueError("unreachable budget")
        assert path.is_dir() and not any(path.iterdir())
    for name in ("table.json", "config.yaml"):  # and files in them, whatever they are called
        (tmp_path / "mine" / name).write_text("keep me")
        with pytest.raises(ValueError, match=f"holds {name}|already holds a run"):
            start(tmp_path / "mine")
        assert (tmp_path / "mine" / name).read_text() == "keep me"
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
    (path / ".config-partial-abcd1_34.yaml").write_text("se")
    if config is not None:
        (path / "config.yaml").write_text(config)
    with start(path) as run:
        assert not (path / "table.json").exists()
        run.log("search", 0, loss=0.0)
    assert "begun again" in capsys.readouterr().out
    assert Run.read_config(path)["seed"] == 0 and not list(path.glob(".config*"))
    (path / ".env-template").write_text("of the user's own")
    (path / "model").mkdir()
    for end in (".safetensors", ".py", "_weights.safetensors"):
        (path / "model" / f".model-partial-abcd1_34{end}").touch()

    def write(exported: Path) -> None:  # by an export in another shell
        (beside := exported.with_name(f"{exported.stem}_weights.safetensors")).touch()
        with start(path, resume=True):
            assert (path / ".env-template").exists() and {*(path / "model").iterdir()} == {exported, beside}

    write_atomic(path / "model" / "model.py", write)
    with pytest.raises(ValueError, match="already holds a run"):
        start(path)


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
