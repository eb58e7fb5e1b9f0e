"""Progress below a cell of a notebook: one output that is drawn again in place, a bar for each open phase."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

DRAWN_SECONDS = 0.2  # from one drawing to the next, at least


class Bar(NamedTuple):
    """`share`: done, of 1; None where nobody knows of how much. `words` stand behind it."""

    description: str
    share: float | None
    words: str


class Cell:
    """An output below the cell that runs."""

    def __init__(self) -> None:
        from IPython.display import HTML, display  # a notebook has it; nothing else needs it

        self._html = HTML
        self._handle = display(HTML(""), display_id=True)
        self._drawn = 0.0

    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return time.monotonic() - self._drawn >= DRAWN_SECONDS

    def draw(self, bars: Sequence[Bar]) -> None:
        """Show `bars` in place of what was shown."""
        self._drawn = time.monotonic()
        self._handle.update(self._html("".join(map(_line, bars))))


def _line(bar: Bar) -> str:
    value = "" if bar.share is None else f' value="{bar.share:.3f}"'
    words = f"{escape(bar.description)} <progress{value}></progress> {escape(bar.words)}"
    return f'<div style="font-variant-numeric: tabular-nums">{words}</div>'
