"""`figures/` of a run: every chart of its page as an SVG that stands alone, and what they show as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

from nas.latency.tables.table import LatencyTable
from nas.report.page import STYLE
from nas.report.sections.answers import class_rows
from nas.report.sections.candidates import trial_rows
from nas.report.sections.network import layer_rows
from nas.runs.files import write_text
from nas.runs.metrics import read_metrics

FOLDER = "figures"
CHART = re.compile(
    r'<svg role="img" aria-label="([^"]*)" viewBox="0 0 (\d+) (\d+)" '
    r'class="(wide|plot|ruler)"(?: data-name="([^"]*)")?>(.*?)</svg>'
)
NAME = 60  # characters of a file's name at most
Rows = Sequence[Sequence[object]]


def write_figures(run: Path, page: str) -> list[Path]:
    """Write the charts of `page`, the report of `run`, and their figures; the files."""
    folder, written = run / FOLDER, []
    folder.mkdir(exist_ok=True)
    for name, svg in charts_of(page).items():
        written.append(write_text(folder / f"{name}.svg", svg))
    table = LatencyTable.load(run / "table.json") if (run / "table.json").exists() else None
    tables = {
        "layers": layer_rows(run, table),
        "candidates": trial_rows(run),
        "classes": class_rows(run),
        "epochs": metric_rows(read_metrics(run)),
    }
    written += [write_text(folder / f"{name}.csv", as_csv(rows)) for name, rows in tables.items() if rows]
    return written


def charts_of(page: str) -> dict[str, str]:
    """The charts of `page` by name, each an SVG that needs no style sheet, in the colours for light paper."""
    found: dict[str, str] = {}
    style = alone(STYLE.read_text(encoding="utf-8"))
    for title, width, height, kind, called, content in CHART.findall(page):
        slug = called or re.sub("[^a-z0-9]+", "-", unescape(title).lower()).strip("-")[:NAME].strip("-") or "figure"
        name = slug if slug not in found else f"{slug}-{len(found)}"
        found[name] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" class="{kind}" '
            f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"><style>{style}</style>'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>{content}</svg>\n'
        )
    return found


def alone(style: str) -> str:
    """The rules of `style` for charts with the colours of its first `:root` written out: for readers of SVG that know
    no variables."""
    colours = dict(re.findall(r"(--[a-z]+): (#[0-9a-f]+)", style.partition("@media")[0]))
    hues = {kind: colours[name] for kind, name in re.findall(r"(\.s\d) { --hue: var\((--[a-z]+)\)", style)}
    rules = re.search(r"/\* charts \*/(.*?)/\* end of charts \*/", style, re.DOTALL)
    assert rules is not None
    found = []
    for selector, body in re.findall(r"([^{}]+){([^{}]*)}", rules[1]):
        if "--hue:" in body:
            continue
        for kind, colour in hues.items() if "var(--hue)" in body else [("", "")]:
            names = ",".join(f"{one.strip()}{kind}" for one in selector.split(","))
            written = body.replace("var(--hue)", colour)
            found.append(
                f"{names}{{{re.sub(r'var[(](--[a-z]+)[)]', lambda match: colours[match[1]], written).strip()}}}"
            )
    return "".join(found)


def metric_rows(records: Sequence[Mapping[str, Any]]) -> list[list[object]]:
    """The recorded figures, a row for each record and a column for each figure, with a heading."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return [list(names), *([record.get(name) for name in names] for record in records)] if records else []


def as_csv(rows: Rows) -> str:
    """`rows` as comma-separated text; None is empty. Texts that a spreadsheet would take for formulas are quoted."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([[_cell(value) for value in row] for row in rows])
    return file.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return "" if value is None else value
