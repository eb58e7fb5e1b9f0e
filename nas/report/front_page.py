"""`front.html`: several finished searches (a sweep over budgets, methods, seeds...) as one accuracy-latency front."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from nas.report import charts
from nas.report.charts import count, number
from nas.report.front_rows import Row, collect
from nas.report.run_page import NOTHING, STYLE
from nas.runs.files import write_text


def write_front(folder: str | Path) -> Path:
    """Write `<folder>/front.html` and return its path. Raises `ValueError` where `folder` holds no finished run."""
    return write_text(Path(folder) / "front.html", front_html(folder))


def front_html(folder: str | Path) -> str:
    """The page as text; it loads nothing. A chart and a table for each data set and device: those alone compare."""
    rows, unfinished = collect(folder)
    if not rows:
        reasons = "".join(f"; {name}: {reason}" for name, reason in unfinished[:3])
        raise ValueError(
            f"{folder} holds no finished run (a folder with result.json); give a run or a folder of runs{reasons}"
        )
    rows.sort(key=lambda row: (row["data"], str(row["device"]), row["measured_latency_ms"] or 0.0, row["macs"]))
    parts: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        parts.setdefault((row["data"], row["device"]), []).append(row)
    sections = "".join(_section(data, device, part) for (data, device), part in parts.items())
    title = f"{len(rows)} network{'s' if len(rows) > 1 else ''} of {Path(folder).absolute().name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><main>\n<h1>{escape(title)}</h1>{sections}"
        f"{_unfinished(unfinished)}</main></body></html>\n"
    )


def _unfinished(runs: list[tuple[str, str]]) -> str:
    if not runs:
        return ""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(reason)}</td></tr>" for name, reason in runs)
    return f"<h2>Without a result</h2><div class='panel'><table><tr><th>run</th><th>why</th></tr>{rows}</table></div>"


def _section(data: str, device: str | None, rows: list[Row]) -> str:
    chart = _chart(rows)
    note = (
        f"<p>Top-1 accuracy on the test split, %, over {_axis(rows)[1]}. Of each colour a line joins the networks that "
        "no other of it beats; point at a dot to read it.</p>"
    )
    head = f"{data} on {device}" if device else f"{data}, no latency asked"
    return f"<h2>{escape(head)}</h2>{note + chart if chart else ''}{_table(rows)}"


def _axis(rows: list[Row]) -> tuple[str, str]:
    """The cost that networks are compared by: measured latency, where anything was measured, else multiply-adds."""
    measured = any(row["measured_latency_ms"] is not None for row in rows)
    return ("measured_latency_ms", "measured latency, ms") if measured else ("macs", "multiply-adds")


def _chart(rows: list[Row]) -> str:
    """Accuracy over cost, a colour for each space and method. Empty where no row has both."""
    key, label = _axis(rows)
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row[key] is not None and row["top1_percent"] is not None:
            name = f"{row['space']}, {row['method']}" if row["space"] else "trained alone"
            groups.setdefault(name, []).append((row[key], row["top1_percent"]))
    return charts.front_chart("top-1 %", list(groups.items()), label, "top-1 %")


WORDS = ("run", "space", "method")
ALWAYS = ("params", "macs", "measured_latency_ms", "top1_percent")  # columns that are there even if empty
FIGURES: dict[str, tuple[str, Callable[[Any], str]]] = {  # key of a result: its heading, and how a value is shown
    "seed": ("seed", str),
    "asked_latency_ms": ("asked ms", number),
    "estimated_latency_ms": ("estimated ms", number),
    "measured_latency_ms": ("measured ms", number),
    "params": ("params", count),
    "asked_params": ("asked params", count),
    "macs": ("MACs", count),
    "asked_macs": ("asked MACs", count),
    "memory_kib": ("memory KiB", number),
    "asked_memory_kib": ("asked memory KiB", number),
    "weights_kib": ("weights KiB", number),
    "asked_weights_kib": ("asked weights KiB", number),
    "budget_met": ("budget met", lambda met: "yes" if met else "NO"),
    "top1_percent": ("top-1 %", "{:.2f}".format),
}


def _cell(row: Row, key: str, show: Callable[[Any], str]) -> str:
    """A figure of `row`; of memory the arithmetic that it is counted in, which differs between runs of one device."""
    counted = row.get("counted") if key in ("memory_kib", "weights_kib") else None
    dtype = counted.get("dtype") if isinstance(counted, dict) else None
    return show(row[key]) + (f" ({dtype})" if isinstance(dtype, str) else "")


def _table(rows: list[Row]) -> str:
    lines = []
    shown = {k: v for k, v in FIGURES.items() if k in ALWAYS or any(row[k] is not None for row in rows)}
    for row in rows:
        words = [NOTHING if row[key] is None else str(row[key]) for key in WORDS]
        figures = [NOTHING if row[key] is None else _cell(row, key, show) for key, (_, show) in shown.items()]
        cells = [f"<td>{escape(cell)}</td>" for cell in words] + [f"<td class='n'>{escape(c)}</td>" for c in figures]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in WORDS)
    head += "".join(f"<th class='n'>{heading}</th>" for heading, _ in shown.values())
    return f"<div class='panel'><table><tr>{head}</tr>{''.join(lines)}</table></div>"
