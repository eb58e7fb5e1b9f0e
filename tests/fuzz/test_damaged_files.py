"""Whatever happened to a file, its reader says so in one line, or reads it: no traceback, no other exit status.

A failure names its number: `python -m tests.fuzz.test_damaged_files files 17` repeats number 17 alone, and
`... files 1000 9000` tries others.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from nas.runs import checkpoint
from nas.terminal.error_lines import BUG, INTERRUPTED, TERMINATED, USER_ERROR, report
from tests.fuzz import commands, damage, files
from tests.fuzz.files import Kind

SEED = 0
STATUSES = (0, BUG, USER_ERROR, INTERRUPTED, TERMINATED)
MOST_BYTES = 2 << 30
MOST_SECONDS = 2.0  # of the processor for one reading; a command may also train
LONGEST = 1500  # characters of an error


def apply(kind: Kind, path: Path, rng: Random) -> str:
    """Damage the file `path` of that kind; in words, how."""
    content = path.read_bytes()
    if kind.form == "bytes" or rng.random() < 0.25:
        damaged, what = damage.bytes_damaged(content, rng)
        path.write_bytes(damaged)
        return what
    if kind.form == "json":
        value, what = damage.value_damaged(json.loads(content), rng)
        is_sealed = rng.random() < 0.9
        with contextlib.suppress(ValueError, RecursionError, UnicodeEncodeError):
            value = kind.sealed(value) if is_sealed else value
        path.write_bytes(damage.as_json(value))
    elif kind.form == "lines":
        lines = content.splitlines()
        at = rng.randrange(len(lines))
        value, what = damage.value_damaged(json.loads(lines[at]), rng)
        lines[at] = damage.as_json(value)
        path.write_bytes(b"\n".join(lines) + b"\n")
    elif kind.form == "yaml":
        damaged, what = damage.yaml_damaged(content, rng)
        path.write_bytes(damaged)
    elif kind.form == "table":
        damaged, what = damage.table_damaged(content, rng)
        path.write_bytes(damaged)
    elif kind.form == "arrays":
        with np.load(path) as data:
            arrays, what = damage.arrays_damaged(dict(data), rng)
        np.savez(path, **arrays)
    elif kind.form == "state":
        state, what = damage.state_damaged(torch.load(path, weights_only=True), rng)
        with contextlib.suppress(Exception):
            torch.save(state, path) if path.name == "foreign.pt" else checkpoint.save(path, state)
    else:
        what = database_damaged(path, rng)
    return what


def database_damaged(path: Path, rng: Random) -> str:
    """Put another value into one field of one table."""
    database = sqlite3.connect(path)
    tables = [name for (name,) in database.execute("select name from sqlite_master where type='table'")]
    table = rng.choice([name for name in tables if database.execute(f"select count(*) from {name}").fetchone()[0]])
    column = rng.choice([row[1] for row in database.execute(f"pragma table_info({table})")])
    odd = rng.choice((None, -1, 0, 2**62, 1.5, float("inf"), "x", "", "null", "[]", "{}", "[" * 5000, "1e999", b"\xff"))
    row = rng.choice([rowid for (rowid,) in database.execute(f"select rowid from {table}")])
    with contextlib.suppress(sqlite3.Error):
        database.execute(f"update {table} set {column} = ? where rowid = ?", (odd, row))
    database.commit()
    database.close()
    return f"database: {table}.{column} is {odd!r:.40}"


def ending(kind: Kind, folder: Path) -> tuple[int, str]:
    """The exit status and what was said on stderr as `kind` was read in `folder`."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            kind.read(folder)
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        except (Exception, KeyboardInterrupt) as error:
            status = report(error, "derive", [], debug=False)
    return status, said.getvalue()


def fault(status: int, said: str) -> str | None:
    """What is wrong with the way that a reading ended."""
    if status not in STATUSES or "Traceback" in said:
        return f"status {status}: {said[-1500:]}"
    if status != USER_ERROR:
        return None
    if not said.startswith("error: ") or said.count("\n") != 1 or not said[:-1].isprintable():
        return f"not one line: {said[:600]!r}"
    return f"{len(said)} characters: {said[:300]}..." if len(said) > LONGEST else None


def run(number: int, kinds: Sequence[Kind], files: Path, folder: Path) -> tuple[str, str | None]:
    """Copy, damage and read file `number`; what was done, and what is wrong with how it ended."""
    kind, rng = kinds[number % len(kinds)], Random(f"{SEED}/{number}")
    copy = folder / kind.folder
    shutil.copytree(files / kind.folder, copy)
    what = f"{number}: {kind} by {getattr(kind.read, '__name__', '')}: {apply(kind, copy / kind.file, rng)}"
    began = time.process_time()
    status, said = ending(kind, copy)
    seconds = time.process_time() - began
    found = fault(status, said)
    if found is None and seconds > MOST_SECONDS * (5 if kinds is commands.KINDS else 1):
        found = f"took {seconds:.1f} s"
    return what, found


def peak_bytes() -> int:
    """The most memory this process has held since the peak was last cleared."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    files.write_all(root)
    return root


def test_whole_files_are_read(whole: Path, tmp_path: Path) -> None:
    for i, kind in enumerate(files.KINDS):
        shutil.copytree(whole / kind.folder, copy := tmp_path / str(i) / kind.folder)
        status, said = ending(kind, copy)
        assert status == 0, f"{kind}: {said}"


@pytest.mark.parametrize("count", [90, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_damaged_files_are_read_or_refused_in_one_line(count: int, whole: Path, tmp_path: Path) -> None:
    check(range(count), files.KINDS, whole, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")
def test_commands_go_on_with_damaged_runs_or_refuse_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    commands.write_all(tmp_path / "whole")
    for kind in {kind.read: kind for kind in commands.KINDS}.values():
        shutil.copytree(tmp_path / "whole" / kind.folder, copy := tmp_path / kind.read.__name__ / kind.folder)
        assert ending(kind, copy) == (0, ""), kind
    check(range(60), commands.KINDS, tmp_path / "whole", tmp_path)


def check(numbers: range, kinds: Sequence[Kind], whole: Path, folder: Path) -> None:
    """All readings end as they may, in little memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_bytes()
    faults = []
    for number in numbers:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            what, found = run(number, kinds, whole, Path(own))
        if found:
            faults.append(f"{what}\n    {found}")
    assert not faults, "\n" + "\n".join(faults)
    assert peak_bytes() - before < MOST_BYTES


def main(where: str, first: int, last: int) -> None:
    module = {"files": files, "commands": commands}[where]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        whole.mkdir()
        module.write_all(whole)
        warnings.simplefilter("error")
        began = time.time()
        for number in range(first, last):
            with tempfile.TemporaryDirectory(dir=folder) as own:
                what, found = run(number, module.KINDS, whole, Path(own))
            if found or last == first + 1:
                print(f"{what}\n    {found}", flush=True)
        print(f"{time.time() - began:.1f} s, peak {peak_bytes() >> 20} MiB")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[-1]) + (len(sys.argv) == 3))
