"""What runs on the other machine: it takes a kit, has it measured, tells how far it is, and hands out the results.

It comes over ssh's stdin, stays on no disk, and needs Python alone. A conversation is one request, a line of JSON, then
replies, a line of JSON each behind `MARK`: what else is on stdout comes from login scripts and is not ours.

Measuring goes on without the connection: it is a process in a session of its own, which inherits a lock on the folder.
The system frees that lock when it ends, however it ends, so that it is started again exactly where it no longer runs,
and two are never measured at once.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from nas.runs.machine import cpu_model, usable_cores

MARK = "\x1enas "
SOONEST_POLL_SECONDS, POLL_SECONDS = 0.1, 1.0  # soon at first: a single network takes no longer
BROKEN_EXIT = 2  # of measure.py where its kit cannot be measured here
FULL = (errno.ENOSPC, errno.EDQUOT)
LINE = 300  # characters of a line that is passed on


def serve() -> None:
    """Answer the one request on stdin."""
    try:
        request = json.loads(sys.stdin.buffer.readline())
        {"about": about, "measure": measure}[request["do"]](request)
    except BrokenPipeError:  # nobody listens any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        say(**_fault(error))
    except RuntimeError as error:  # of a home directory that nobody has
        say(fault="file", text=str(error))


def say(**reply: Any) -> None:
    print(MARK + json.dumps(reply), flush=True)


def _fault(error: OSError) -> dict[str, str]:
    fault = "full" if error.errno in FULL else "locks" if error.errno == errno.ENOLCK else "file"
    return {"fault": fault, "text": f"{error.filename or 'a file'}: {error.strerror}"}


def about(request: dict[str, Any]) -> None:
    """What it is, can keep in `request["folder"]`, and has of `request["packages"]`, {module: name for pip or null}."""
    folder = Path(request["folder"]).expanduser()
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "load": os.getloadavg()[0],
        "folder": str(folder),
    }
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists():
        found["governor"] = governor.read_text().strip()
    found["packages"] = {name: _package(name, pip) for name, pip in request["packages"].items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
        found["free_bytes"] = shutil.disk_usage(folder).free
        lock = _lock(folder)
        found["running"] = lock is None and _running(folder)
        if lock is not None:
            os.close(lock)
    except OSError as error:
        found["folder_fault"] = _fault(error)
    say(about=found)


def _package(name: str, pip: str | None) -> dict[str, str]:
    """The version of the package `name`, by pip's record of `pip` or else by itself, or why it cannot be used."""
    own = f"{name}.__version__" if pip is None else f"importlib.metadata.version({pip!r})"
    code = f"import importlib.metadata, {name}; print({own})"
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return {"error": "its import takes more than two minutes"}
    if not done.returncode:
        return {"version": done.stdout.split()[-1]}
    if done.returncode < 0:  # a binary for another processor ends its process
        return {"error": f"its import ends by signal {-done.returncode}: it is built for another processor"}
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    missing = last.startswith("ModuleNotFoundError") and f"'{name}'" in last
    return {"missing": last} if missing else {"error": last[:LINE]}


def measure(request: dict[str, Any]) -> None:
    """Bring `request["kit"]` to its end: receive its files, start or find its measuring, hand out its results."""
    folder = Path(request["folder"]).expanduser()
    kit = folder / "kits" / request["kit"]
    kit.mkdir(parents=True, exist_ok=True)
    try:
        _receive(kit, request["files"])
    except OSError as error:
        if error.errno in FULL:
            shutil.rmtree(kit)  # what was begun would keep the disk full
        raise
    run = _Run(folder, kit)
    _drop_stale(kit, request)
    wait = SOONEST_POLL_SECONDS
    while not (kit / "results.json").exists():
        if not run.step():
            return
        time.sleep(wait)
        wait = min(1.2 * wait, POLL_SECONDS)
    run.tell()
    say(results=base64.b64encode(zlib.compress((kit / "results.json").read_bytes())).decode())
    if sys.stdin.buffer.readline().strip() == b"forget":
        shutil.rmtree(kit)


def _receive(kit: Path, files: dict[str, list[Any]]) -> None:
    """Take those of `files`, {name: [bytes, SHA-256]}, that are not here yet; they follow on stdin in their order."""
    missing = [name for name, (size, digest) in files.items() if not _is_same(kit / name, size, digest)]
    needed, free = sum(files[name][0] for name in missing), shutil.disk_usage(kit).free
    if needed >= free:
        raise OSError(errno.ENOSPC, f"{needed / 2**20:.1f} MB are needed, {free / 2**20:.1f} MB are free", str(kit))
    say(missing=missing)
    for name in missing:
        size, digest = files[name]
        data = sys.stdin.buffer.read(size)
        if hashlib.sha256(data).hexdigest() != digest:
            raise BrokenPipeError  # it was cut short
        path = kit / name
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            file.write(data)
        partial.replace(path)
        say(received=name)


def _is_same(path: Path, size: int, digest: str) -> bool:
    try:
        return path.stat().st_size == size and hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False


def _drop_stale(kit: Path, request: dict[str, Any]) -> None:
    """Forget what was measured where it is asked `anew`, and results of the machine as it was before."""
    results = kit / "results.json"
    if request["anew"] and not _is_measured(kit):
        for name in ("results.json", "results.jsonl"):
            (kit / name).unlink(missing_ok=True)
    if results.exists():
        try:
            then = json.loads(results.read_text())["environment"]
            same = all(then.get(key) == value for key, value in request["environment"].items())
        except (ValueError, KeyError, AttributeError):
            same = False
        if not same:
            results.unlink()
    say(ready=True)


def _is_measured(kit: Path) -> bool:
    """Whether `kit` is measured right now."""
    lock = _lock(kit.parent.parent)
    if lock is not None:
        os.close(lock)
    return lock is None and _running(kit.parent.parent).get("kit") == kit.name


class _Run:
    """The measuring of `kit`, whoever started it."""

    def __init__(self, folder: Path, kit: Path) -> None:
        self.folder, self.kit = folder, kit
        self.child: subprocess.Popen[bytes] | None = None
        self.told = 0  # bytes of its log
        self.in_vain = 0  # starts that left no more in the journal
        self.journal_bytes = -1

    def step(self) -> bool:
        """See that it runs and tell where it is; False where it cannot."""
        if self.child is not None and self.child.poll() is not None and not self._may_go_on(self.child.returncode):
            return False
        lock = _lock(self.folder)
        if lock is not None:
            if not (self.kit / "results.json").exists():
                self._start(lock)
            os.close(lock)  # the child holds it
        running = _running(self.folder)
        if running.get("kit") == self.kit.name:
            self.tell()
            say(pid=running.get("pid"))
        else:
            say(waiting=running)
        return True

    def _start(self, lock: int) -> None:
        self.told = 0
        self.journal_bytes = self._journal_bytes()
        _enter(lock, {"kit": self.kit.name})
        with (self.kit / "run.log").open("wb") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-u", "measure.py"],
                cwd=self.kit,
                env={**os.environ, "KIT_SAYS_EVERY_SECONDS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock],
            )
        _enter(lock, {"kit": self.kit.name, "pid": self.child.pid})

    def _may_go_on(self, status: int) -> bool:
        """Whether a measuring that ended without results is started again: where it came further, or once."""
        if (self.kit / "results.json").exists():
            return True
        last = (self._log().strip().splitlines() or [""])[-1][:LINE]
        self.in_vain = self.in_vain + 1 if self._journal_bytes() <= self.journal_bytes else 0
        if os.strerror(errno.ENOSPC) in last:
            say(fault="full", text=f"{self.kit}: {last}")
        elif status == BROKEN_EXIT:
            say(fault="refused", text=last.removeprefix("Error: "))
        elif self.in_vain > 1:
            ended = f"signal {-status}" if status < 0 else f"status {status}"
            say(fault="ended", text=f"{ended}: {last or 'it said nothing'}")
        else:
            self.tell()
            say(again=f"signal {-status}" if status < 0 else f"status {status}")
            return True
        return False

    def _journal_bytes(self) -> int:
        journal = self.kit / "results.jsonl"
        return journal.stat().st_size if journal.exists() else 0

    def _log(self) -> str:
        log = self.kit / "run.log"
        return log.read_bytes().decode(errors="replace") if log.exists() else ""

    def tell(self) -> None:
        """Pass on the lines of its log that were not."""
        lines = self._log()[self.told :].splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        self.told += sum(map(len, whole))
        for line in whole:
            say(line=line.strip()[:LINE])


def _lock(folder: Path) -> int | None:
    """The lock on `folder`, an open file; None where measuring goes on there."""
    import fcntl

    descriptor = os.open(folder / "running.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise OSError(errno.ENOLCK, error.strerror, str(folder)) from None
    return descriptor


def _enter(lock: int, what: dict[str, Any]) -> None:
    """Write down who holds the lock."""
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(what).encode(), 0)


def _running(folder: Path) -> dict[str, Any]:
    """Who holds the lock on `folder`, as far as it is written down yet."""
    with contextlib.suppress(ValueError):
        found = json.loads((folder / "running.json").read_text())
        return found if isinstance(found, dict) else {}
    return {}


if __name__ == "__main__":
    serve()
