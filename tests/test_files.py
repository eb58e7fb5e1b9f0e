"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nas.files import read_json, write_atomic, write_json, write_text


def test_write_and_read_back(tmp_path: Path) -> None:
    path = write_json(tmp_path / "deep" / "er" / "x.json", {"a": [1, 2.5, None]})
    assert read_json(path, "thing") == {"a": [1, 2.5, None]}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]
    reference = tmp_path / "reference"
    reference.write_text("")
    assert path.stat().st_mode == reference.stat().st_mode


def test_failure_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = write_text(tmp_path / "x.txt", "old")

    def half(temporary: Path) -> None:
        temporary.write_text("ne")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_atomic(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_in_a_librarys_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.save reports a full disk as RuntimeError: unexpected pos; it comes out as what it is."""

    def unexpected(temporary: Path) -> None:
        raise RuntimeError("unexpected pos 1014656 vs 1014552")

    with pytest.raises(RuntimeError, match="unexpected pos"):
        write_atomic(tmp_path / "x.pt", unexpected)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomic(tmp_path / "x.pt", unexpected)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    """The new file takes the old one's name; it is not written into it."""
    path = write_text(tmp_path / "x.txt", "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_full_disk(tmp_path: Path) -> None:
    """A file larger than the process may write, in a process of its own: the old file stays, no scrap is left."""
    path = write_text(tmp_path / "x.txt", "old")
    program = (
        "import resource, sys\n"
        "from nas.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_text(sys.argv[1], 'a' * 100_000)\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert done.stdout == "File too large\n", done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no arch at"), (b'{"a": 1', "damaged"), (b"\xff\xfe\x00", "damaged"), (b"", "damaged")],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "arch.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_json(path, "arch")
    assert str(path) in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_json(tmp_path, "arch")
