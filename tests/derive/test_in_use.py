"""Two derivations into one folder at once: the second is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from nas.derive.__main__ import main
from nas.runs.files import write_text
from nas.runs.locks import in_use
from tests.derive.test_derive_candidates import finished


def test_one_derivation_at_a_time_writes_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, *_ = finished(tmp_path, "random")
    asked = [f"run={run}", "measure=false", "budget.fraction=0.9", f"out={tmp_path / 'out'}"]
    with in_use(tmp_path / "out", "it", "wait"):
        with pytest.raises(SystemExit, match="2"):
            main(asked)
        said = capsys.readouterr().err.splitlines()
        assert (
            len(said) == 1 and "of derived networks is in use by another process; wait for it, or give out=" in said[0]
        )
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]
    assert not (tmp_path / "out").exists()  # nothing was put into it
    (tmp_path / "mine").mkdir()
    with pytest.raises(ValueError, match="the reason"), in_use(tmp_path / "mine", "it", "wait"):
        raise ValueError("the reason")
    assert (tmp_path / "mine").exists()
    with pytest.raises(ValueError, match="the reason"), in_use(tmp_path / "gone", "it", "wait"):
        shutil.rmtree(tmp_path / "gone")
        raise ValueError("the reason")
    main(asked)
    main(asked)
    assert (tmp_path / "out" / "derived.json").exists()


def test_files_that_no_derivation_wrote_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, *_ = finished(tmp_path, "random")
    own = tmp_path / "own" / "recipe-2.json"
    own.parent.mkdir()
    own.write_text("{}")
    with pytest.raises(SystemExit, match="2"):
        main([f"run={run}", "measure=false", "budget.fraction=0.9", f"out={own.parent}"])
    assert "holds recipe-2.json, which no derivation wrote; name another folder" in capsys.readouterr().err
    assert [path.name for path in own.parent.iterdir()] == ["recipe-2.json"] and own.read_text() == "{}"


def test_a_derivation_that_was_killed_half_way_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, *_ = finished(tmp_path, "random")
    out = tmp_path / "out"
    asked = [f"run={run}", "measure=false", f"out={out}"]

    class Killed(BaseException):
        pass

    def killed(path: Path, text: str) -> Path:
        if path.name == "arch-2.json":
            raise Killed
        return write_text(path, text)

    def repeated(fraction: float, count: int) -> list[str]:
        """What records there are after a derivation was killed, and the same one was done again."""
        command = [*asked, f"budget.fraction={fraction}", f"count={count}"]
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr("nas.derive.request.write_text", killed)
            main(command)
        assert (out / "arch.json").exists() and json.loads((out / "derived.json").read_text()) == []
        main(command)
        return [record["file"] for record in json.loads((out / "derived.json").read_text())]

    assert repeated(0.9, 2) == ["arch.json", "arch-2.json"]
    assert repeated(0.8, 3) == ["arch.json", "arch-2.json", "arch-3.json"]  # no records of what was replaced


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr("nas.runs.locks.fcntl.flock", none)
    with in_use(tmp_path / "out", "it", "wait"):
        assert "its file system has no locks; two at once would mix what they write" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of another user's is enough; none, where none can be made, is no missing file."""

    def refused(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, mode)

    opened, shared = os.open, tmp_path / "shared"
    shared.mkdir()
    (shared / ".lock").touch()
    (tmp_path / "out").mkdir()
    monkeypatch.setattr("nas.runs.locks.os.open", refused)
    with pytest.raises(PermissionError), in_use(tmp_path / "out", "it", "wait"):
        pass
    with in_use(shared, "it", "wait"), pytest.raises(ValueError, match="it is in use by"), in_use(shared, "it", "wait"):
        pass
