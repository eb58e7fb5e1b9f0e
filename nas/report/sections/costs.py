"""What a run took, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.report.bars import bar
from nas.report.parts import Cell, Line, Section, Table, numeric
from nas.runs.progress_file import read_progress
from nas.terminal.progress import format_seconds


@dataclass(frozen=True)
class Costs(Section):
    """Seconds by phase of a run that was made in so many `pieces`."""

    pieces: int
    table: Table

    heading, template = "What it took", "costs.html"


def costs(run: Path, result: Mapping[str, Any], pieces: int) -> Costs | None:
    """Seconds of each phase that has any, and of the rest where the run was made in one piece. None without any.

    `pieces`: in how many the run was made; the clock of one that was continued is that of its last piece.
    """
    contest = result["contest"] or {}
    trained = contest.get("train_seconds")
    known = [
        ("pretraining of the supernet", result["pretrain_seconds"]),
        ("search", result["search_seconds"]),
        ("contest", trained if isinstance(trained, int | float) else None),
        ("training of the network", result["train_seconds"]),
    ]
    rows = [(name, float(seconds)) for name, seconds in known if seconds]
    if not rows:
        return None
    spent, whole = sum(seconds for _, seconds in rows), _clock(run) if pieces == 1 else None
    if whole is not None and whole > spent:
        rows.append(("the rest: measuring, deriving, references, looking", whole - spent))
    total = sum(seconds for _, seconds in rows)
    lines = [_line(name, seconds, seconds / total) for name, seconds in rows]
    whole_line = Line([Cell("in all", strong=True), numeric(format_seconds(total), strong=True), Cell(""), Cell("")])
    return Costs(pieces, Table([], [*lines, whole_line]))


def _line(name: str, seconds: float, share: float) -> Line:
    return Line([Cell(name), numeric(format_seconds(seconds)), numeric(f"{100 * share:.0f}%"), Cell(bar(share))])


def _clock(run: Path) -> float | None:
    """Seconds from the run's beginning to its last sign of life."""
    found = read_progress(run)
    return None if found is None else max(found["updated"] - found["began"], 0.0)
