"""What survives a kill: visits in a journal, under a lock, each line with a checksum.

Part of the script that a kit carries (see `kit_script`), so that it uses the system's locks itself and no library.
"""

from __future__ import annotations

import errno
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.latency.measuring.visits import Visit, Visits, _is_whole, visit_of


def seal(data: Mapping[str, Any], key: str) -> str:
    """32 hexadecimal digits of all entries of `data` but `key`, where the result is kept."""
    rest = {name: value for name, value in data.items() if name != key}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:32]


class Journal:
    """A JSON-lines file: a header naming what is measured, then visits, each line with a checksum of its own.

    A torn last line is dropped. A damaged line, or one whose numbers are no visit's, is left out, so that its visit is
    made again. A journal of something else (another machine, runtime version, effort) is kept aside, and begun anew.
    `say` is told of both.
    """

    def __init__(self, path: Path, header: dict[str, Any], say: Callable[[str], None] = lambda text: None) -> None:
        self.path = path
        self.visits: Visits = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"format": "nas.latency_journal", "version": 3, **json.loads(json.dumps(header))}
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if lines and (known := _opened(lines[0])) != header:
            aside = path.with_suffix(f".kept-{zlib.crc32(lines[0]):08x}{path.suffix}")
            path.replace(aside)
            differing = [name for name in header if known is None or known.get(name) != header[name]]
            say(f"{path.name} is of another measurement ({', '.join(differing)}); it is kept as {aside.name}")
            lines = []
        if not lines:
            self.file = path.open("w")
            self._write(header)
            return
        damaged = 0
        for line in lines[1:]:
            entry = _visit_of(_opened(line))
            if entry is None:
                damaged += 1
            else:
                key, turn, visit = entry
                self.visits.setdefault(key, {})[turn] = visit
        if damaged:
            say(f"{path.name} has {damaged} damaged lines; their visits are made again")
        _cut_torn_end(path)
        self.file = path.open("a")

    def record(self, key: str, turn: int, visit: Visit) -> None:
        """Enter and write `visit`."""
        self.visits.setdefault(key, {})[turn] = visit
        self._write({"key": key, "turn": turn, "visit": visit.numbers()})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps({**line, "seal": seal(line, "seal")[:8]}) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def _opened(line: bytes) -> dict[str, Any] | None:
    """What `Journal._write` wrote into `line`; None where it was not that."""
    try:
        data = json.loads(line)
        return data if data.pop("seal") == seal(data, "seal")[:8] else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _visit_of(line: dict[str, Any] | None) -> tuple[str, int, Visit] | None:
    if line is None or not isinstance(line.get("key"), str) or not _is_whole(line.get("turn"), 0):
        return None
    visit = visit_of(line.get("visit"))
    return None if visit is None else (line["key"], line["turn"], visit)


def _cut_torn_end(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)


NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def locked(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`; tells `waiting` once when another process holds it, then waits for it.

    The system frees the lock when its holder ends, however it ends. Where the operating system has no such locks, none
    is held. Raises `ValueError` where only this file system has none: two processes would write the same files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(f"waiting for another process that measures the same ({path.name})")
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise ValueError(
                f"the file system of {path} has no file locks ({error.strerror}), so two processes could measure into "
                "the same files; measure in a folder on a local disk (tables=/tmp/tables, or the kit copied there)"
            ) from None
        yield
