"""`front.html`: several finished searches (a sweep over budgets, methods, seeds...) as one accuracy-latency front."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from nas import charts
from nas.charts import number
from nas.files import read_json, write_text
from nas.report_page import NOTHING, STYLE

Row = dict[str, Any]


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories below `folder` that have a result, by name."""
    return sorted(path.parent for path in Path(folder).rglob("result.json"))


def write_front(folder: str | Path) -> Path:
    """Write `<folder>/front.html` and return its path. Raises `ValueError` where `folder` holds no finished run."""
    return write_text(Path(folder) / "front.html", front_html(folder))


def front_html(folder: str | Path) -> str:
    """The page as text; it loads nothing. One chart per data set, then all runs by latency."""
    found = finished_runs(folder)
    if not found:
        raise ValueError(f"{folder} holds no finished run (a folder with result.json); give a run or a folder of runs")
    rows = [{**read_json(run / "result.json", "result"), "run": os.path.relpath(run, folder)} for run in found]
    rows.sort(key=lambda row: (str(row["data"]), row["measured_latency_ms"] or 0.0))
    figures = "".join(_chart(data, [row for row in rows if row["data"] == data]) for data in _distinct(rows, "data"))
    title = f"{len(rows)} runs of {Path(folder).name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text()}</style></head>\n<body><main>\n<h1>{escape(title)}</h1>"
        f"<div class='panel'>{figures}</div>{_table(rows)}</main></body></html>\n"
    )


def _distinct(rows: list[Row], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _chart(data: str, rows: list[Row]) -> str:
    """Accuracy over measured latency, a colour for each space and method."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["measured_latency_ms"] is not None and row["top1_percent"] is not None:
            name = f"{row['space']}, {row['method']}" if row["space"] else "trained alone"
            groups.setdefault(name, []).append((row["measured_latency_ms"], row["top1_percent"]))
    return charts.front_chart(f"Front on {data}", list(groups.items()), "measured ms", "top-1 %")


def _table(rows: list[Row]) -> str:
    names = ("run", "space", "method", "seed", "asked ms", "estimated ms", "measured ms", "params", "MACs", "top-1 %")
    keys = ("asked_latency_ms", "estimated_latency_ms", "measured_latency_ms", "params", "macs", "top1_percent")
    lines = []
    for row in rows:
        words = [str(row[key]) if row[key] is not None else NOTHING for key in ("run", "space", "method", "seed")]
        figures = [NOTHING if row[key] is None else number(row[key]) for key in keys]
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in [*words, *figures]) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
