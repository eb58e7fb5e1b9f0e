"""`progress.json`: where a command that works in a run directory stands, for whoever looks from elsewhere."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from nas.runs.files import write_json
from nas.runs.machine import usable_cores
from nas.runs.stored import Count, NonNegative, Schema, read_record, record
from nas.terminal.progress import open_phases

FILE = "progress.json"
LOOK_SECONDS = 2.0  # between two looks at the open phases; what changed is written
SIGN_SECONDS = 15.0  # a sign of life at least so often

STORED: Schema = {
    "host": str,
    "pid": Count,
    "began": NonNegative,
    "updated": NonNegative,
    "cores": Count,
    "cores_busy": NonNegative | None,
    "ended": str | None,
    "phases": list[dict],
}
PHASE: Schema = {
    "description": str,
    "done": str,
    "seconds": NonNegative,
    "seconds_left": NonNegative | None,
    "note": str,
}


class ProgressFile:
    """Writes the file from a thread of its own until `stop`; that it cannot be written stops nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.began = time.time()
        self._stop = threading.Event()
        self._written: tuple[float, list[tuple[str, float]]] = (0.0, [])
        self._busy: tuple[float, float] = (time.monotonic(), cpu_seconds())
        self._write(None)
        self._thread = threading.Thread(target=self._look, name="progress file", daemon=True)
        self._thread.start()

    def stop(self, error: BaseException | None) -> None:
        """The last word: how it ended, by `error` or well."""
        self._stop.set()
        self._thread.join()
        if error is None:
            self._write("finished")
        elif isinstance(error, Exception):
            self._write(f"failed: {str(error).partition(chr(10))[0]}")
        else:
            self._write("interrupted")

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            at, done = self._written
            if time.monotonic() - at >= SIGN_SECONDS or _done() != done:
                self._write(None)

    def _write(self, ended: str | None) -> None:
        self._written = time.monotonic(), _done()
        content = {
            "host": platform.node(),
            "pid": os.getpid(),
            "began": self.began,
            "updated": time.time(),
            "cores": usable_cores(),
            "cores_busy": self._cores_busy(),
            "ended": ended,
            "phases": _phases(),
        }
        with contextlib.suppress(OSError):  # a full disk or a folder that may only be read: the work itself will say so
            write_json(self.path, content)

    def _cores_busy(self) -> float | None:
        """Cores that this process and its workers kept busy since the last look that was long enough ago."""
        (at, before), now, used = self._busy, time.monotonic(), cpu_seconds()
        if now - at < LOOK_SECONDS / 2:
            return None
        self._busy = now, used
        return round(max(used - before, 0.0) / (now - at), 2)


def _done() -> list[tuple[str, float]]:
    return [(work.description, work.done) for work in open_phases()]


def _phases() -> list[dict[str, Any]]:
    return [
        {
            "description": work.description,
            "done": work.so_far() + work.share(),
            "seconds": round(work.seconds, 1),
            "seconds_left": None if work.seconds_left is None else round(work.seconds_left, 1),
            "note": work.note,
        }
        for work in open_phases()
    ]


def cpu_seconds() -> float:
    """Processor time of this process and of all it started, whether they have ended or not."""
    own = os.times()
    used = own.user + own.system + own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = child.cpu_times()
            used += times.user + times.system + times.children_user + times.children_system
    return used


def read_progress(folder: Path) -> dict[str, Any] | None:
    """What `folder`'s file says; None where there is none. Raises `ValueError` for a damaged one."""
    if not (folder / FILE).exists():
        return None
    found = read_record(folder / FILE, "progress", STORED)
    found["phases"] = [record(one, PHASE, f"progress {folder / FILE}: a phase") for one in found["phases"]]
    return found
