"""What a run took, phase by phase."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from nas.report.bars import bar
from nas.runs.progress_file import read_progress
from nas.terminal.progress import format_seconds


def costs(run: Path, result: Mapping[str, Any], pieces: int) -> str:
    """Seconds of each phase that has any, and of the rest where the run was made in one piece. Empty without any.

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
        return ""
    spent, whole = sum(seconds for _, seconds in rows), _clock(run) if pieces == 1 else None
    if whole is not None and whole > spent:
        rows.append(("the rest: measuring, deriving, references, looking", whole - spent))
    total = sum(seconds for _, seconds in rows)
    lines = "".join(
        f"<tr><td>{escape(name)}</td><td class='n'>{format_seconds(seconds)}</td>"
        f"<td class='n'>{100 * seconds / total:.0f}%</td><td>{bar(seconds / total)}</td></tr>"
        for name, seconds in rows
    )
    lines += f"<tr><td><b>in all</b></td><td class='n'><b>{format_seconds(total)}</b></td><td></td><td></td></tr>"
    note = f"<p>Made in {pieces} pieces; what was measured and derived is not counted.</p>" if pieces > 1 else ""
    return f"<h2>What it took</h2>{note}<div class='panel' tabindex='0'><table>{lines}</table></div>"


def _clock(run: Path) -> float | None:
    """Seconds from the run's beginning to its last sign of life."""
    found = read_progress(run)
    return None if found is None else max(found["updated"] - found["began"], 0.0)
