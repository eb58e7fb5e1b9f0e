"""What everything is printed on, and the one live display of all open phases."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.progress import Progress

from nas.terminal.progress.cell import Cell


class Output(Console):
    """A console whose reader may go away (`... | head`): that ends a command as other errors do, in words."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("nobody reads the output any more")  # rich would leave without a word


class Screen:
    """The console and the one live display all open phases share (rich allows a single one at a time)."""

    def __init__(self) -> None:
        self.console: Console = Output(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = max(self.console.width, 120)  # a log file has no edge at 80 characters
        self.bars: Progress | None = None
        self.cell: Cell | None = None
        self.open_phases = 0


def spare_signs() -> None:
    """Have what the encoding of `sys.stdout` lacks shown as `?`: a sign in a table is not worth the end of a run."""
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper):
        return
    is_utf = out.encoding.lower().startswith("utf")
    if out.errors == "strict" or (out.errors == "surrogateescape" and not is_utf):  # what the locale C has
        out.reconfigure(errors="replace")
