"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest

from nas.runs.files import cache_folder, leftovers, read_json, write_atomic, write_json, write_text
from nas.runs.stored import Count, record
from search_spaces.plain_data.annotations import Range


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


def test_temporary_files_are_leftovers_once_nobody_works_on_them(tmp_path: Path) -> None:
    killed = tmp_path / ".x-partial-abcd1_34.txt"
    killed.touch()

    def write(temporary: Path) -> None:
        assert temporary.parent == tmp_path and list(leftovers(tmp_path / "x.txt")) == [killed]

    write_atomic(tmp_path / "x.txt", write)
    assert list(leftovers(tmp_path / "y.txt")) == list(leftovers(tmp_path / "none" / "x.txt")) == []


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
        "from nas.runs.files import write_text\n"
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


NO_PLAIN_DATA = {
    "[" * 10_000: "nested more than 64 deep",
    '{"a":' * 65 + "1" + "}" * 65: "nested more than 64 deep",
    '{"a": 1, "b": {"a": 2, "a": 3}}': "the key 'a' is there twice",
    "[NaN]": "NaN is not a number of JSON",
    "[-Infinity]": "-Infinity is not a number of JSON",
    "[1e999]": "the number 1e999 is too large",
    "[9223372036854775808]": "the number 9223372036854775808 has more than 64 bits",
    "[" + "1" * 5000 + "]": "111... has more than 64 bits",
    '{"a": 1': "truncated",
    b"\xff\xfe[1]": "not text in UTF-8",
}


@pytest.mark.parametrize(("content", "fault"), NO_PLAIN_DATA.items(), ids=[str(text)[:20] for text in NO_PLAIN_DATA])
def test_json_that_is_no_plain_data_is_refused(tmp_path: Path, content: str | bytes, fault: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=re.escape(fault)) as caught:
        read_json(path, "thing")
    assert str(caught.value).startswith(f"thing {path} is damaged: ") and len(str(caught.value)) < 300


ROW = {"rounds": Count, "share": Annotated[float, Range(0, 1)] | None, "rows": list[Annotated[int, Range(-1, 2)]]}


def test_without_a_home_nothing_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a user without a name: what is remembered there cannot be written, which no caller minds."""
    for name in ("NAS_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    with pytest.raises(NotADirectoryError):
        write_text(cache_folder() / "calm.json", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/nas")


def test_records_have_types_and_ranges() -> None:
    good = {"rounds": 0, "share": 1, "rows": [2], "note": "kept"}
    assert record(good, ROW, "thing") == {**good, "share": 1.0}
    assert record({"rounds": 0, "rows": []}, ROW, "thing")["share"] is None
    faults = {
        "rounds": [(-1, "a whole number >= 0, got -1"), (True, "a whole number >= 0"), (None, "a whole number >= 0")],
        "share": [(1.5, "a number from 0 to 1 or null, got 1.5"), (float("nan"), "got nan"), ("x", "got 'x'")],
        "rows": [([3], "a list with each item a whole number from -1 to 2, got [3]"), ({}, "a list with")],
    }
    for field, values in faults.items():
        for value, words in values:
            with pytest.raises(ValueError, match=re.escape(f"thing: {field} must be ")) as caught:
                record({**good, field: value}, ROW, "thing")
            assert words in str(caught.value)
    with pytest.raises(ValueError, match="thing must be an object"):
        record([good], ROW, "thing")
