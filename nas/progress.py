"""What the user sees while waiting: a bar per phase with the time left, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

PLAIN_INTERVAL_SECONDS = 10.0


class Advance(Protocol):
    def __call__(self, amount: int = 1, note: str = "") -> None:
        """Report `amount` more units done; `note` is shown beside the bar."""


class _Screen:
    """The console and the one live display all open phases share (rich allows a single one at a time)."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, 120)  # a log file has no edge at 80 characters
        self.bars: Progress | None = None
        self.open_phases = 0


_screen = _Screen()


def console() -> Console:
    """The console everything is printed on. It follows the present `sys.stdout`."""
    return _screen.console


def log(message: str) -> None:
    """Print one line, above the bars if there are any."""
    target = _screen.bars.console if _screen.bars else console()
    target.print(escape(message))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table. A column holding only numbers (or dashes) is aligned to the right."""
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold", show_header=any(columns))
    cells = [["–" if value is None else str(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(_is_numeric(row[index]) for row in cells)
        grid.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*map(escape, row))
    console().print(grid, soft_wrap=False)


def _is_numeric(text: str) -> bool:
    return text in ("", "–", "-") or text.lstrip("+-−≤≥<>≈ ")[:1].isdigit()


@contextmanager
def phase(description: str, total: int | None = None, unit: str = "", completed: int = 0) -> Iterator[Advance]:
    """Report on one phase of work: yields `advance(amount=1, note="")`.

    `total` is the number of units (None: unknown) and `completed` how many an earlier, interrupted run has already
    done, so that the remaining time is judged by this run's own pace. On a terminal a bar is drawn; otherwise a plain
    line is printed about every ten seconds, and one at the end. Phases may be nested.
    """
    if console().is_terminal:
        with _bar(description, total, unit, completed) as advance:
            yield advance
    else:
        with _lines(description, total, unit, completed) as advance:
            yield advance


@contextmanager
def _bar(description: str, total: int | None, unit: str, completed: int) -> Iterator[Advance]:
    if _screen.bars is None:
        _screen.bars = Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=console(),
        )
        _screen.bars.start()
    bars = _screen.bars
    _screen.open_phases += 1
    task = bars.add_task(escape(description), total=total, unit=unit, note="", completed=completed)

    def advance(amount: int = 1, note: str = "") -> None:
        bars.advance(task, amount)
        if note:
            bars.update(task, note=escape(note))

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
def _lines(description: str, total: int | None, unit: str, completed: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    done = completed
    of_total = f"/{total}" if total is not None else ""

    def so_far() -> str:
        units = f" {unit}{'' if done == 1 and total in (None, 1) else 's'}" if unit else ""
        return f"{done}{of_total}{units}"

    def advance(amount: int = 1, note: str = "") -> None:
        nonlocal done, last
        done += amount
        now = time.monotonic()
        if now - last < PLAIN_INTERVAL_SECONDS or done == total:
            return
        last = now
        left = ""
        if total is not None and done > completed:
            seconds = (total - done) * (now - start) / (done - completed)
            left = f", about {format_seconds(seconds)} left"
        _print_plain(f"{description}: {so_far()}{left}{f' ({note})' if note else ''}")

    _screen.open_phases += 1
    try:
        yield advance
    finally:
        _screen.open_phases -= 1
    if _screen.open_phases and time.monotonic() - start < PLAIN_INTERVAL_SECONDS:
        return  # short, and inside another phase that reports
    _print_plain(f"{description}: {so_far()} in {format_seconds(time.monotonic() - start)}")


def _print_plain(line: str) -> None:
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
