"""File locks that end with the process that holds them; waits for them are said and bounded.

Not `filelock`: that opens a file of its own and polls while it waits, where an open file is locked here and the system
wakes the waiter; what is written here would be needed around it all the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from nas.terminal.progress import log

SAY_SECONDS = 5.0  # a wait as long as this is said
GIVE_UP_SECONDS = 60.0
OTHER = "another process"  # whichever that is, if any: a slow disk or a busy machine looks the same
LOOK_SECONDS = 0.02  # between two looks at a lock that is taken
_NONE = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}


def lock(file: int | IO[str], name: str, fix: str, *, wait: bool) -> bool:
    """Lock the open `file`, called `name`, for this process alone; False where another holds it and `wait` is off.

    Raises `ValueError` with the `fix` where the file system of `name` has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NONE:
            reason = (error.strerror or str(error)).lower()
            raise ValueError(f"{name} cannot be locked ({reason}): its file system has no locks; {fix}") from None
        raise
    return True


@contextlib.contextmanager
def exclusive(file: Path, fix: str) -> Iterator[None]:
    """Hold the lock `file`, which is made; the system releases it however the process ends.

    Raises `ValueError` where another process keeps it for `GIVE_UP_SECONDS`, and, with the way out `fix`, where the
    file system has no locks.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        began = time.monotonic()
        while not lock(descriptor, str(file), fix, wait=False):
            if time.monotonic() - began > GIVE_UP_SECONDS:
                raise ValueError(
                    f"{file} was locked by {holders(file)} for {GIVE_UP_SECONDS:.0f} s; end that process, or wait for "
                    "it, and try again"
                )
            time.sleep(LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_use(folder: Path, what: str, fix: str) -> Iterator[None]:
    """Keep `folder`, which is made, for this process; one that was made here goes where nothing was put into it.

    A file system without locks keeps nothing, which is said. Raises `ValueError` where another process has it, with
    `what` it is and the `fix`, and where it cannot be made.
    """
    name, is_new = folder / ".lock", not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{folder} cannot be made: a file of that name is in the way") from None
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not name.exists():
            raise
        # another user's, who shares the folder
        descriptor = os.open(name, os.O_RDONLY)
    try:
        try:
            is_mine = lock(descriptor, str(name), "two at once would mix what they write", wait=False)
        except ValueError as error:
            log(str(error))
            is_mine = True
        if not is_mine:
            raise ValueError(f"{what} is in use by {holders(name)}; {fix}")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if is_new and [entry.name for entry in folder.iterdir()] == [name.name]:
                    name.unlink()
                    folder.rmdir()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def said(what: str | Path, *locks: str | Path) -> Iterator[None]:
    """Say so once where what is done inside has waited for `what`, whose locks are `locks`, for `SAY_SECONDS`."""

    def say() -> None:
        holder = holders(*locks)
        log(f"waiting for {what}: {'slow, or in use by another process' if holder == OTHER else f'in use by {holder}'}")

    timer = threading.Timer(SAY_SECONDS, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def holders(*files: str | Path) -> str:
    """Who else has one of `files` locked, as far as this system tells: `process 4711`."""
    try:
        wanted = {os.stat(file).st_ino for file in files}
        rows = [line.split() for line in Path("/proc/locks").read_text(encoding="utf-8").splitlines()]
        # number: kind advisory mode pid major:minor:inode start end; a line with -> waits
        held = {int(row[4]) for row in rows if row[1] != "->" and int(row[5].rpartition(":")[2]) in wanted}
    except (OSError, ValueError, IndexError):
        held = set()
    others = sorted(pid for pid in held - {os.getpid()} if pid > 0)
    return f"process {', '.join(map(str, others))}" if others else OTHER
