"""Found against references: what `result.json` keeps of it, and what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.runs.result_file import held_equal, more_training
from nas.search.references.against import Against
from nas.search.references.pricing import left_out_lines
from nas.search.references.reference import Reference
from nas.terminal.progress import log, table

MISSING = "–"


def compared(found: Against, references: tuple[Reference, ...]) -> dict[str, Any]:
    """The entries of `result.json`: `references`, each against the found network, and `best_reference`.

    `difference_points`: the found network's top-1 accuracy less the reference's. `ahead`: the reference is more
    accurate at no more latency than was asked; `best_reference` names the best such one (null: none is).
    """
    top1_found, leading = found.top1_percent, found.ahead(references)
    rows = []
    for one in references:
        top1 = one.top1_percent
        rows.append(
            {
                "name": one.name,
                "multiplier": one.multiplier,
                "arch": one.arch.id,
                "in_space": one.in_space,
                "estimated_latency_ms": one.estimated_latency_ms,
                "measured_latency_ms": None if one.measured is None else one.measured.latency_ms,
                "measured_error": None if one.measured is None else one.measured.error,
                "params": one.arch.params,
                "macs": one.arch.macs,
                "top1_percent": top1,
                "difference_points": None if top1 is None or top1_found is None else top1_found - top1,
                "ahead": one in leading,
            }
        )
    return {"references": rows, "best_reference": leading[0].title if leading else None}


def show_references(found: Mapping[str, Any]) -> None:
    """The references beside the found network, which are left out, and the headline where one is ahead; from
    `result.json`."""
    rows = found.get("references") or []
    for said in left_out_lines(found.get("references_left_out") or {}):
        log(said)
    if not rows:
        return
    if line := headline(found):
        log(line)
    own = found.get("found") or found  # of a run that hands over a reference, what it had found
    shown = [("found", _ms(_latency(own)), _percent(own["top1_percent"]), "")]
    for row in rows:
        shown.append((title(row), _ms(_latency(row)), _percent(row["top1_percent"]), _points(row["difference_points"])))
    table("references at this budget", ("network", "latency ms", "top-1 %", "found is ahead by"), shown)
    if line := more_training(found):
        log(line)


def headline(found: Mapping[str, Any]) -> str | None:
    """Which reference is ahead of the found network and by how much, and the way to have it; None where none is."""
    leading = [row for row in found.get("references") or [] if row["ahead"]]
    if not leading or found.get("handed_over"):
        return None
    best = max(leading, key=lambda row: row["top1_percent"])
    more = f" (and {len(leading) - 1} more)" if len(leading) > 1 else ""
    return (
        f"A REFERENCE IS AHEAD: {title(best)} has {best['top1_percent']:.2f}%, the found network "
        f"{found['top1_percent']:.2f}%, {held_equal(found)}{more}; derive.best_of=all hands it over"
    )


def title(row: Mapping[str, Any]) -> str:
    """The name of a reference with its multiplier, from its entry."""
    return row["name"] if row["multiplier"] is None else f"{row['name']} x{row['multiplier']:g}"


def _latency(row: Mapping[str, Any]) -> float | None:
    measured: float | None = row["measured_latency_ms"]
    return row["estimated_latency_ms"] if measured is None else measured


def _ms(ms: float | None) -> str:
    return MISSING if ms is None else f"{ms:#.4g}"


def _percent(percent: float | None) -> str:
    return MISSING if percent is None else f"{percent:.2f}"


def _points(points: float | None) -> str:
    return MISSING if points is None else f"{points:+.2f} points"
