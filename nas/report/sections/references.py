"""The found network against hand-made ones of the same budget: parts of a page."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nas.report import charts
from nas.report.charts import number
from nas.runs.stored import Count, Milliseconds, Percent, Schema, record

NOTHING = "–"
ROW: Schema = {
    "name": str,
    "multiplier": float | None,
    "macs": Count,
    **dict.fromkeys(("estimated_latency_ms", "difference_points"), float | None),
    "measured_latency_ms": Milliseconds | None,
    "top1_percent": Percent | None,
    "ahead": bool,
}


def ahead(result: dict[str, Any]) -> str:
    """The headline where a reference is ahead of the network that was handed over; empty where none is."""
    leading = [row for row in reference_rows(result) if row["ahead"]]
    if not leading or result["handed_over"]:
        return ""
    best = max(leading, key=lambda row: row["top1_percent"])
    points = number(abs(best["difference_points"]))
    return (
        f"<h2><span class='verdict poor'>A reference is ahead: {escape(title(best))}</span></h2><p>It has "
        f"{best['top1_percent']:.2f}%, {points} points more than the found network, at no more latency than was asked. "
        "<code>derive.best_of=all</code> hands it over.</p>"
    )


def references(result: dict[str, Any]) -> str:
    """Every reference with its latency, accuracy and what the found network has more, and why others are left out."""
    rows, left_out = reference_rows(result), result["references_left_out"] or {}
    if not rows and not left_out:
        return ""
    found = result["found"] or result
    own = {name: found.get(name) for name in ("estimated_latency_ms", "measured_latency_ms", "top1_percent", "macs")}
    lines = [_line("found", {**own, "difference_points": None})]
    lines += [_line(escape(title(row)), row) for row in rows]
    trained = any(row["top1_percent"] is not None for row in rows)
    note = "Each is the widest of its family within the budgets"
    note += (
        ", trained as the found network was." if trained else "; they were not trained (<code>references.train</code>)."
    )
    if result["handed_over"]:
        note += f" {escape(result['handed_over'])} was handed over in the found network's place."
    missing = "".join(f"<li>{escape(name)} is left out: {escape(why)}</li>" for name, why in left_out.items())
    head = "".join(f"<th class='n'>{name}</th>" for name in ("ms", "multiply-adds", "top-1 %", "found is ahead by"))
    return (
        f"<h2>Against hand-made networks</h2><p>{note}</p>"
        f"<div class='panel' tabindex='0'><table><tr><th>network</th>{head}</tr>{''.join(lines)}</table></div>"
        + (f"<ul>{missing}</ul>" if missing else "")
    )


def title(row: Mapping[str, Any]) -> str:
    """The name of a reference with its multiplier."""
    return row["name"] if row["multiplier"] is None else f"{row['name']} x{row['multiplier']:g}"


def reference_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The references in `result.json`, their fields checked. Raises `ValueError` for damage."""
    return [record(row, ROW, "a reference in result.json") for row in result["references"] or []]


def _line(name: str, row: dict[str, Any]) -> str:
    ms, measured = latency(row), row["measured_latency_ms"] is not None
    how = "" if ms is None or measured else " (estimated)"
    cells = [
        NOTHING if ms is None else f"{number(ms)}{how}",
        NOTHING if row["macs"] is None else charts.count(row["macs"]),
        NOTHING if row["top1_percent"] is None else f"{row['top1_percent']:.2f}",
        "" if row["difference_points"] is None else f"{row['difference_points']:+.2f} points",
    ]
    return f"<tr><td>{name}</td>{''.join(f'<td class=n>{cell}</td>' for cell in cells)}</tr>"


def latency(row: Mapping[str, Any]) -> float | None:
    """Measured, else estimated milliseconds; None where neither is known."""
    measured: float | None = row["measured_latency_ms"]
    return row["estimated_latency_ms"] if measured is None else measured
