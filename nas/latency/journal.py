"""What a table build has measured so far, one line a visit, so that a killed build continues where it was."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.latency.measure import Visit, keep_quieter
from nas.progress import log


class Journal:
    """A JSON-lines file: a header naming what is measured, then visits. A torn last line is dropped."""

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.path = path
        self.visits: dict[str, dict[int, Visit]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        if lines and lines[0] == header:
            for line in lines[1:]:
                keep_quieter(self.visits, line["key"], line["turn"], Visit(line["ms"], line["ref"], line["calls"]))
            _cut_torn_end(path)
            self.file = path.open("a")
        else:
            self.file = path.open("w")
            self._write(header)

    def record(self, key: str, turn: int, visit: Visit) -> None:
        self._write({"key": key, "turn": turn, "ms": visit.ms, "ref": visit.reference_ms, "calls": visit.calls})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def discard(self) -> None:
        """Remove the file: what it held is in the table now."""
        self.close()
        self.path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_bytes().split(b"\n")[:-1]:
            try:
                lines.append(json.loads(text))
            except ValueError:
                break
    return lines


def _cut_torn_end(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; says so once when another process holds it, then waits for it.

    The system frees the lock when its holder ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"waiting for another process that measures the same table ({path.name})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
