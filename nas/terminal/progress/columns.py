"""What a bar on a terminal shows."""

from __future__ import annotations

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

NARROW = 100  # characters of a terminal on which not every column has room


def columns(width: int) -> list[ProgressColumn]:
    """What a bar shows on a terminal of so many characters; notes take what the others leave."""
    narrow = width < NARROW
    note = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    shown: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(10 if narrow else 40),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        *([] if narrow else [TimeElapsedColumn(), TextColumn("left")]),
        TimeRemainingColumn(compact=narrow),
        *([TextColumn("left")] if narrow else []),
        TextColumn("{task.fields[note]}", style="dim", table_column=note),
    ]
    return shown if narrow else [SpinnerColumn(finished_text="[green]✓[/]"), *shown]
