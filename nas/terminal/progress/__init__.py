"""What the user sees while waiting: a bar per phase with the time left, or plain lines where nothing can be redrawn."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from nas.terminal.progress.cell import Bar, Cell
from nas.terminal.progress.columns import columns as bar_columns
from nas.terminal.progress.screen import Screen, spare_signs

PLAIN_INTERVAL_SECONDS = 10.0
SILENCE_SECONDS = 25.0  # without a line in plain output; a phase then says where it stands


class Advance(Protocol):
    def __call__(self, amount: float = 1, note: str = "") -> None:
        """Report `amount` more units done, perhaps a part of one; `note` is shown beside the bar.

        Until the first unit, an `amount` of 0 tells of preparations: the time left is judged by what comes after them.
        """


_screen = Screen()


def console() -> Console:
    """The console everything is printed on. It follows the present `sys.stdout`."""
    spare_signs()
    return _screen.console


def silence() -> None:
    """Print nothing more: of several processes one speaks."""
    _screen.console.quiet = True


def log(message: str) -> None:
    """Print one line, above the bars if there are any."""
    target = _screen.bars.console if _screen.bars else console()
    target.print(escape(message))


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    headings: Mapping[int, str] | None = None,
) -> None:
    """Print a table. A column holding only numbers (or dashes) is aligned to the right.

    `headings`: by the number of a row, what begins there, on a line of its own.
    """
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold", show_header=any(columns))
    cells = [["–" if value is None else str(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(_is_numeric(row[index]) for row in cells)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for index, row in enumerate(cells):
        if headings and index in headings:
            grid.add_section()
            grid.add_row(f"[bold]{escape(headings[index])}[/bold]", *[""] * (len(columns) - 1))
        grid.add_row(*map(escape, row))
    console().print(grid, soft_wrap=False)


def _is_numeric(text: str) -> bool:
    return text in ("", "–", "-") or text.lstrip("+-−≤≥<>≈ ")[:1].isdigit()


@contextmanager
def phase(description: str, total: int | None = None, unit: str = "", completed: int = 0) -> Iterator[Advance]:
    """Report on one phase of work: yields `advance(amount=1, note="")`.

    `total` is the number of units (None: unknown) and `completed` how many an earlier, interrupted run has already
    done, so that the remaining time is judged by this run's own pace. On a terminal and in a notebook a bar is drawn;
    otherwise a plain line is printed about every ten seconds, at least every 30 whatever is reported, and one at the
    end. Phases may be nested.
    """
    work = Work(description, total, unit, completed)
    _open.append(work)
    try:
        with _way()(work) as advance:
            yield advance
    finally:
        _open.remove(work)


def _way() -> Callable[[Work], AbstractContextManager[Advance]]:
    """How phases are shown where this process writes."""
    if console().is_jupyter and not console().quiet:
        return _below_cell
    return _bar if console().is_terminal else _lines


def open_phases() -> tuple[Work, ...]:
    """The phases that are open now, the outermost first."""
    return tuple(_open)


@contextmanager
def _bar(work: Work) -> Iterator[Advance]:
    if _screen.bars is None:
        _screen.bars = Progress(*bar_columns(console().width), console=console(), expand=True)
        _screen.bars.start()
    bars = _screen.bars
    _screen.open_phases += 1
    task = bars.add_task(escape(work.description), total=work.total, unit=work.unit, note="", completed=work.completed)

    def advance(amount: float = 1, note: str = "") -> None:
        work.add(amount, note)
        bars.update(task, completed=work.done, note=escape(work.note))

    try:
        yield advance
    finally:
        bars.stop_task(task)
        _screen.open_phases -= 1
        if _screen.open_phases:  # a phase inside another one, perhaps one of many: its bar goes
            bars.remove_task(task)
        if _screen.open_phases == 0:
            bars.stop()
            _screen.bars = None


@contextmanager
def _below_cell(work: Work) -> Iterator[Advance]:
    """Phases that are open together share an output below the cell; the outermost stays there, with what it took."""
    cell = _screen.cell = _screen.cell or Cell()
    is_outermost = len(_open) == 1
    cell.draw([one.as_bar() for one in _open])

    def advance(amount: float = 1, note: str = "") -> None:
        work.add(amount, note)
        if cell.is_due():
            cell.draw([one.as_bar() for one in _open])

    try:
        yield advance
    finally:
        if is_outermost:
            _screen.cell = None
            cell.draw([work.as_bar(work.ended())])
        elif cell.is_due():
            cell.draw([one.as_bar() for one in _open if one is not work])


@contextmanager
def _lines(work: Work) -> Iterator[Advance]:
    lines = _Lines(work)
    _screen.open_phases += 1
    _pulse.begin(lines)
    try:
        yield lines.advance
    finally:
        _pulse.end(lines)
        _screen.open_phases -= 1
    if _screen.open_phases and work.seconds < PLAIN_INTERVAL_SECONDS:
        return  # short, and inside another phase that reports
    _print_plain(f"{work.description}: {work.ended()}")


class Work:
    """A phase: what is done, of how much, and how long the rest takes at this run's pace."""

    def __init__(self, description: str, total: int | None, unit: str, completed: int) -> None:
        self.description, self.total, self.unit, self.completed = description, total, unit, completed
        self.done: float = completed
        self.note = ""
        self.start = self.units_since = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def ended(self) -> str:
        return " in ".join(filter(None, [self.so_far(), format_seconds(self.seconds)]))

    def so_far(self) -> str:
        if self.total is None and not self.unit and not self.done:  # nothing is counted
            return ""
        whole = int(self.done)
        of_total = f"/{self.total}" if self.total is not None else ""
        plural = "" if whole == 1 and self.total in (None, 1) else "s"
        return f"{whole}{of_total}{f' {self.unit}{plural}' if self.unit else ''}"

    def share(self) -> str:
        """How much of the unit in hand is done, where that was told."""
        part = self.done % 1
        return f" and {100 * part:.0f}% of the next" if part > 0.005 else ""

    def add(self, amount: float, note: str) -> None:
        if not amount and self.done <= self.completed:  # preparations, whose time says nothing of that of units
            self.units_since = time.monotonic()
        done = self.done + amount  # parts of a unit add up to one
        self.done = float(round(done)) if abs(done - round(done)) < 1e-6 else done
        self.note = note or self.note

    def left(self) -> str:
        """The time left, in words behind others; empty where nothing tells."""
        return "" if self.seconds_left is None else f", about {format_seconds(self.seconds_left)} left"

    def as_bar(self, words: str = "") -> Bar:
        """`words`: in place of what is done, the time left and the note."""
        share = None if not self.total else min(self.done / self.total, 1.0)
        note = f" ({self.note})" if self.note else ""
        return Bar(self.description, share, words or f"{self.so_far()}{self.share()}{self.left()}{note}")

    @property
    def seconds_left(self) -> float | None:
        """Of the whole phase; None where nothing tells."""
        if self.total is None or self.done <= self.completed:
            return None
        taken = time.monotonic() - self.units_since
        return max((self.total - self.done) * taken / (self.done - self.completed), 0.0)


_open: list[Work] = []


class _Lines:
    """A phase in plain output."""

    def __init__(self, work: Work) -> None:
        self.work, self.last = work, work.start

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.work.add(amount, note)
        if time.monotonic() - self.last >= PLAIN_INTERVAL_SECONDS and self.work.done != self.work.total:
            self.say(self.work.left(), f" ({note})" if note else "")

    def say(self, left: str, more: str = "") -> None:
        self.last = time.monotonic()
        done = f"{self.work.so_far()}{self.work.share()}"
        _print_plain(f"{self.work.description}: {done}{left if done else left.removeprefix(', ')}{more}")

    def still(self) -> None:
        """Say where it stands, though nothing was reported."""
        self.say(f", {format_seconds(self.work.seconds)} so far{self.work.left()}")


class _Pulse:
    """A thread that lets the innermost open phase speak where plain output was silent for long."""

    def __init__(self) -> None:
        self.open: list[_Lines] = []
        self.spoke = 0.0  # when a phase printed last
        self._stop: threading.Event | None = None

    def begin(self, lines: _Lines) -> None:
        self.open.append(lines)
        if self._stop is None:
            self.spoke = time.monotonic()
            self._stop = threading.Event()
            threading.Thread(target=self._beat, args=(self._stop,), daemon=True).start()

    def end(self, lines: _Lines) -> None:
        self.open.remove(lines)
        if not self.open and self._stop is not None:
            self._stop.set()
            self._stop = None

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(max(SILENCE_SECONDS - (time.monotonic() - self.spoke), 0.01)):
            innermost = self.open[-1:]
            if innermost and time.monotonic() - self.spoke >= SILENCE_SECONDS:
                with contextlib.suppress(BrokenPipeError):  # which the next line of the command meets
                    innermost[0].still()


_pulse = _Pulse()


def _print_plain(line: str) -> None:
    _pulse.spoke = time.monotonic()
    console().print(escape(line))
    console().file.flush()


def format_seconds(seconds: float) -> str:
    """`seconds` as people say it: 0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
