"""The found network against hand-made ones of the same budget: parts of a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.report import charts
from nas.report.charts import number
from nas.report.parts import NOTHING, Cell, Line, Section, Table, numeric
from nas.runs.result_file import held_equal, more_training
from nas.runs.stored import Count, Milliseconds, Percent, Schema, record

ROW: Schema = {
    "name": str,
    "multiplier": float | None,
    "macs": Count,
    **dict.fromkeys(("estimated_latency_ms", "difference_points"), float | None),
    "measured_latency_ms": Milliseconds | None,
    "top1_percent": Percent | None,
    "ahead": bool,
}


@dataclass(frozen=True)
class Ahead(Section):
    """A reference that has `points` more, `within` what the found network may take too."""

    heading: str
    top1_percent: float
    points: float
    within: str

    template, tone = "ahead.html", "poor"


@dataclass(frozen=True)
class References(Section):
    """A row for each, whether they were `trained`, what was `unlike` then, and why others are left out."""

    trained: bool
    unlike: str | None
    handed_over: str | None
    table: Table
    left_out: Mapping[str, str]

    heading, template = "Against hand-made networks", "references.html"


def ahead(result: dict[str, Any]) -> Ahead | None:
    """The headline where a reference is ahead of the network that was handed over; None where none is."""
    leading = [row for row in reference_rows(result) if row["ahead"]]
    if not leading or result["handed_over"]:
        return None
    best = max(leading, key=lambda row: row["top1_percent"])
    points = abs(best["difference_points"])
    return Ahead(f"A reference is ahead: {title(best)}", best["top1_percent"], points, held_equal(result))


def references(result: dict[str, Any]) -> References | None:
    """Every reference with its latency, accuracy and what the found network has more, and why others are left out."""
    rows, left_out = reference_rows(result), result["references_left_out"] or {}
    if not rows and not left_out:
        return None
    found = result["found"] or result
    own = {name: found.get(name) for name in ("estimated_latency_ms", "measured_latency_ms", "top1_percent", "macs")}
    lines = [_line("found", {**own, "difference_points": None}), *(_line(title(row), row) for row in rows)]
    head = [Cell("network"), *map(numeric, ("ms", "multiply-adds", "top-1 %", "found is ahead by"))]
    trained = any(row["top1_percent"] is not None for row in rows)
    return References(trained, more_training(result), result["handed_over"], Table(head, lines), left_out)


def title(row: Mapping[str, Any]) -> str:
    """The name of a reference with its multiplier."""
    return row["name"] if row["multiplier"] is None else f"{row['name']} x{row['multiplier']:g}"


def reference_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The references in `result.json`, their fields checked. Raises `ValueError` for damage."""
    return [record(row, ROW, "a reference in result.json") for row in result["references"] or []]


def _line(name: str, row: dict[str, Any]) -> Line:
    ms, measured = latency(row), row["measured_latency_ms"] is not None
    how = "" if ms is None or measured else " (estimated)"
    cells = [
        NOTHING if ms is None else f"{number(ms)}{how}",
        NOTHING if row["macs"] is None else charts.count(row["macs"]),
        NOTHING if row["top1_percent"] is None else f"{row['top1_percent']:.2f}",
        "" if row["difference_points"] is None else f"{row['difference_points']:+.2f} points",
    ]
    return Line([Cell(name), *map(numeric, cells)])


def latency(row: Mapping[str, Any]) -> float | None:
    """Measured, else estimated milliseconds; None where neither is known."""
    measured: float | None = row["measured_latency_ms"]
    return row["estimated_latency_ms"] if measured is None else measured
