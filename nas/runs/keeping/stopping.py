"""How a process that is asked to end does so: behind the next step of a loop that keeps its state, elsewhere at once.

A command line sends its signals here (`by_signals`); a loop says where it can keep its state (`at_next_step`) and looks
behind every step whether it was asked to end (`asked`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("SIGTERM", "SIGUSR1", "SIGHUP")
SIGNALS = tuple(signal.Signals[name] for name in NAMES if name in signal.Signals.__members__)
PATIENCE_SECONDS = 5.0  # launchers and shells repeat a signal; who repeats it later does not want to wait for the step
OUT = 1  # the descriptor that is printed on


class Terminated(KeyboardInterrupt):
    """Signal `number`: somebody else ends the command. Its exit status is 128 and that number, as in a shell."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number

    @property
    def status(self) -> int:
        """143 for SIGTERM, 138 for SIGUSR1 (on Linux), 129 for SIGHUP."""
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
    """SIGTERM, SIGUSR1 and SIGHUP end what is inside as Ctrl-C does, so that the run directory is left in order.

    SIGHUP, that a terminal is closed, stays ignored where it is (`nohup`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = _Received()
    hung_up = getattr(signal, "SIGHUP", None)
    kept = {hung_up} if hung_up and signal.getsignal(hung_up) is signal.SIG_IGN else set()
    before = {number: signal.signal(number, received) for number in SIGNALS if number not in kept}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        received.restore()


class _Received:
    """The handler of all signals of a command."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.out: int | None = None

    def __call__(self, number: int, _: object) -> None:
        if number == getattr(signal, "SIGHUP", None) and self.out is None:
            self._print_nowhere()
        if self.first is None:
            self.first = time.monotonic()
        elif time.monotonic() - self.first <= PATIENCE_SECONDS:
            return  # not into the midst of what leaves the run in order
        ask(number)

    def _print_nowhere(self) -> None:
        """Who read the output is gone, or about to be, and an error of the next line printed would end the step. What
        goes into a file goes there."""
        with contextlib.suppress(OSError):  # it is closed
            if not stat.S_ISREG(os.fstat(OUT).st_mode):
                self.out, nowhere = os.dup(OUT), os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, OUT)
                os.close(nowhere)

    def restore(self) -> None:
        """Let what is printed go where it went before."""
        if self.out is not None:
            os.dup2(self.out, OUT)
            os.close(self.out)
