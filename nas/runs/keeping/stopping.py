"""How a process that is asked to end does so: behind the next step of a loop that keeps its state, elsewhere at once.

A command line sends its signals here (`by_signals`); a loop says where it can keep its state (`at_next_step`) and looks
behind every step whether it was asked to end (`asked`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__)
PATIENCE_SECONDS = 5.0  # launchers repeat a signal; whoever repeats it later does not want to wait for the step


class Terminated(KeyboardInterrupt):
    """Signal `number`: somebody else ends the command. Its exit status is 128 and that number, as in a shell."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """143 for SIGTERM, 138 for SIGUSR1 (on Linux)."""
        return 128 + self.number


class _Asked:
    """What this process was asked, and how many loops wait for it."""

    def __init__(self) -> None:
        self.loops, self.number, self.since = 0, 0, 0.0


_process = _Asked()


def ask(number: int) -> None:
    """End this process for signal `number`: raises `Terminated`, unless a loop does so behind its next step."""
    waited = time.monotonic() - _process.since if _process.number else 0.0
    if not _process.loops or waited > PATIENCE_SECONDS:
        raise Terminated(number)
    if not _process.number:
        _process.number, _process.since = number, time.monotonic()


def asked() -> int:
    """The signal that this process was asked to end by, behind the present step; 0: none."""
    return _process.number


@contextmanager
def at_next_step() -> Iterator[None]:
    """Inside, a signal waits for the loop to look at `asked` and to keep its state; what it left is raised behind."""
    _process.loops += 1
    try:
        yield
    finally:
        _process.loops -= 1
        number = 0
        if not _process.loops:
            number, _process.number = _process.number, 0
    if number:
        raise Terminated(number)


@contextmanager
def by_signals() -> Iterator[None]:
    """SIGTERM and SIGUSR1 end what is inside as Ctrl-C does, so that the run directory is left in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda received, _: ask(received)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
