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
from nas.runs.files import write_atomic, write_text
from nas.runs.metrics import read_metrics

FOLDER = "figures"
CHART = re.compile(
    r'(?:<figcaption>([^\n]*?)</figcaption>)?<svg role="img" aria-label="([^"]*)" viewBox="0 0 (\d+) (\d+)" '
    r'class="(wide|plot|ruler)"(?: data-name="([^"]*)")?>(.*?)</svg>'
)
KEY = re.compile(r'<span class="key ([^"]*)">(.*?)</span>')
NAME = 60  # characters of a file's name at most
LETTER = 7.0  # pixels of a letter of a legend
Rows = Sequence[Sequence[object]]


def write_figures(run: Path, page: str, png: bool = False) -> list[Path]:
    """Write the charts of `page`, the report of `run`, and their figures; the files. `png`: charts as pictures too."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    written = write_charts(folder, page, png)
    table = LatencyTable.load(run / "table.json") if (run / "table.json").exists() else None
    tables = {
        "layers": layer_rows(run, table),
        "candidates": trial_rows(run),
        "classes": class_rows(run),
        "epochs": metric_rows(read_metrics(run)),
    }
    written += [write_text(folder / f"{name}.csv", as_csv(rows)) for name, rows in tables.items() if rows]
    return written


def write_charts(folder: Path, page: str, png: bool = False) -> list[Path]:
    """Write the charts of `page` to `folder` by their names, as SVG and with `png` as pictures too; the files."""
    written = []
    for name, svg in charts_of(page).items():
        written.append(write_text(folder / f"{name}.svg", svg))
        if png:
            from nas.report.pictures import as_png  # here: matplotlib takes a second, and few ask for it

            written.append(_written(folder / f"{name}.png", as_png(svg)))
    return written


def slug_of(title: str) -> str:
    """`title` as a file's name."""
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")[:NAME].strip("-") or "figure"


def _written(path: Path, content: bytes) -> Path:
    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    return write_atomic(path, write)


def charts_of(page: str) -> dict[str, str]:
    """The charts of `page` by name, each an SVG that needs no style sheet, in the colours for light paper, with its
    legend below."""
    found: dict[str, str] = {}
    style = alone(STYLE.read_text(encoding="utf-8"))
    for caption, title, width, height, kind, called, content in CHART.findall(page):
        slug = called or slug_of(unescape(title))
        name = slug if slug not in found else f"{slug}-{len(found)}"
        legend, high = _legend(KEY.findall(caption), int(width), int(height))
        found[name] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{title}" class="{kind}" '
            f'viewBox="0 0 {width} {high}" width="{width}" height="{high}"><style>{style}</style>'
            f'<rect width="{width}" height="{high}" fill="#ffffff"/>{content}{legend}</svg>\n'
        )
    return found


def _legend(keys: Sequence[tuple[str, str]], width: int, top: int) -> tuple[str, int]:
    """A dot and a label for each of `keys` (class and escaped label), from `top` down, and where they end."""
    parts, x, y = [], 8.0, top + 14
    for kind, label in keys:
        wide = 23 + LETTER * len(unescape(label))
        if x > 8 and x + wide > width:
            x, y = 8.0, y + 18
        dot = f'<circle class="{"point" if kind[0] == "g" else "dot"} {kind}" cx="{x:.1f}" cy="{y - 4}" r="3.5"/>'
        parts.append(f'{dot}<text class="tick" x="{x + 9:.1f}" y="{y}">{label}</text>')
        x += wide
    return "".join(parts), y + 8 if keys else top


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
