"""`front.html`: several finished searches (a sweep over budgets, methods, seeds...) as one accuracy-latency front; the
same figures as `front.csv`, its charts as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from nas.report import charts
from nas.report.across_devices import across_devices
from nas.report.charts import Group, count, number
from nas.report.figures import as_csv, slug_of, write_charts
from nas.report.front_rows import Row, collect
from nas.report.page import page
from nas.report.parts import NOTHING, Cell, Chart, Line, Section, Table, numeric
from nas.runs.files import write_text
from nas.train.answers.guessing import is_near_guessing
from search_spaces.memory.counted import amount

NAMED = 24  # dots of a chart up to which each has the name of its run beside it


def write_front(folder: str | Path, png: bool = False) -> Path:
    """Write `<folder>/front.html`; beside it `front.csv`, and the chart of each data set and device as
    `front-<data>-on-<device>.svg`, with `png` as a picture too. The page's path.

    Raises `ValueError` where `folder` holds no finished run.
    """
    rows, unfinished = _collected(folder)
    text = _html(Path(folder), rows, unfinished)
    write_text(Path(folder) / "front.csv", as_csv(_csv_rows(rows)))
    write_charts(Path(folder), text, png)
    return write_text(Path(folder) / "front.html", text)


def front_html(folder: str | Path) -> str:
    """The page as text; it loads nothing. A chart and a table for each data set and device: those alone compare."""
    return _html(Path(folder), *_collected(folder))


def _collected(folder: str | Path) -> tuple[list[Row], list[tuple[str, str]]]:
    rows, unfinished = collect(folder)
    if not rows:
        reasons = "".join(f"; {name}: {reason}" for name, reason in unfinished[:3])
        raise ValueError(
            f"{folder} holds no finished run (a folder with result.json); give a run or a folder of runs{reasons}"
        )
    rows.sort(key=lambda row: (row["data"], str(row["device"]), row["measured_latency_ms"] or 0.0, row["macs"]))
    return rows, unfinished


@dataclass(frozen=True)
class Networks(Section):
    """Those of one data set and device: accuracy over the cost that `axis` names, and all figures.

    `note`: why their accuracies may not compare; empty where nothing speaks against it.
    """

    heading: str
    note: str
    axis: str
    chart: Chart | None
    table: Table

    template = "networks.html"


@dataclass(frozen=True)
class Unfinished(Section):
    """The runs that have no result, with the reason."""

    table: Table

    heading, template = "Without a result", "unfinished.html"


def _html(folder: Path, rows: Sequence[Row], unfinished: Sequence[tuple[str, str]]) -> str:
    parts: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        parts.setdefault((row["data"], row["device"]), []).append(row)
    kinds = {kind: f"f{index}" for index, kind in enumerate(dict.fromkeys(map(_kind, rows)))}
    sections: list[Section] = [_networks(folder, where, part, kinds) for where, part in parts.items()]
    if (across := across_devices(folder, rows)) is not None:
        sections.append(across)
    if unfinished:
        lines = [Line([Cell(name), Cell(reason, "fold")]) for name, reason in unfinished]
        sections.append(Unfinished(Table([Cell("run"), Cell("why")], lines)))
    return page(
        "front.html",
        sections,
        title=f"{len(rows)} network{'s' if len(rows) > 1 else ''} of {folder.absolute().name}",
        kinds=kinds,
        runs=len({row["folder"] for row in rows}),
        unfinished=len(unfinished),
    )


def _networks(folder: Path, where: tuple[str, str | None], rows: list[Row], kinds: Mapping[str, str]) -> Networks:
    data, device = where
    heading = f"{data} on {device}" if device else f"{data}, no latency asked"
    chart = _chart(rows, kinds, slug_of(f"front {heading}"))
    return Networks(heading, _other_images(rows), _axis(rows)[1], chart, _table(folder, rows, kinds))


def _other_images(rows: Sequence[Row]) -> str:
    """That runs of data by one name may have been tested on other images, by the settings in which these differ."""
    given = [row["test_data"] for row in rows if row["test_data"]]
    known = set.intersection(*map(set, given)) if given else set()  # settings of later releases are not asked for
    found = {key: sorted({json.dumps(data[key], ensure_ascii=False) for data in given}) for key in sorted(known)}
    differing = [f"data.{key} is {' or '.join(values)}" for key, values in found.items() if len(values) > 1]
    if not differing:
        return ""
    return f"NOTE: {'; '.join(differing)}: where that makes other test images, these accuracies do not compare."


def _kind(row: Row) -> str:
    return f"{row['space']}, {row['method']}" if row["space"] else "trained alone"


def _axis(rows: list[Row]) -> tuple[str, str]:
    """The cost that networks are compared by: measured latency, where anything was measured, else multiply-adds."""
    measured = any(row["measured_latency_ms"] is not None for row in rows)
    return ("measured_latency_ms", "measured latency, ms") if measured else ("macs", "multiply-adds")


def _chart(rows: list[Row], kinds: Mapping[str, str], name: str) -> Chart | None:
    """Accuracy over cost, a colour for each space and method, the same in every chart; `name`: of its file. None where
    no row has both."""
    key, label = _axis(rows)
    groups: dict[str, list[tuple[float, float, str]]] = {}
    for row in rows:
        if row[key] is not None and row["top1_percent"] is not None:
            groups.setdefault(_kind(row), []).append((row[key], row["top1_percent"], row["run"]))
    named = sum(map(len, groups.values())) <= NAMED
    shown = list[Group]()
    for hue, (kind, mark) in enumerate(kinds.items()):
        if dots := groups.get(kind):
            said = [name if named else "" for *_, name in dots]
            shown.append(Group(kind, [(x, y) for x, y, _ in dots], said, mark=mark, hue=hue))
    return charts.front_chart("top-1 %", shown, label, "top-1 %", name=name)


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
    "memory_kib": ("memory KiB", amount),
    "asked_memory_kib": ("asked memory KiB", amount),
    "weights_kib": ("weights KiB", amount),
    "asked_weights_kib": ("asked weights KiB", amount),
    "energy_mj": ("energy mJ", number),
    "asked_energy_mj": ("asked energy mJ", number),
    "budget_met": ("budget met", lambda met: "yes" if met else "NO"),
    "decided": ("decided", lambda made: "yes" if made else "NO"),
    "top1_percent": ("top-1 %", "{:.2f}".format),
    "search_seconds": ("search s", amount),
}


def _cell(row: Row, key: str, show: Callable[[Any], str]) -> str:
    """A figure of `row`; of memory the arithmetic that it is counted in, which differs between runs of a device, and of
    an accuracy that it is little more than guessing."""
    if key == "top1_percent" and is_near_guessing(row):
        return f"{show(row[key])} (near guessing)"
    counted = row.get("counted") if key in ("memory_kib", "weights_kib") else None
    dtype = counted.get("dtype") if isinstance(counted, dict) else None
    return show(row[key]) + (f" ({dtype})" if isinstance(dtype, str) else "")


def _table(folder: Path, rows: list[Row], kinds: Mapping[str, str]) -> Table:
    shown = {k: v for k, v in FIGURES.items() if k in ALWAYS or any(row[k] is not None for row in rows)}
    lines = []
    for row in rows:
        cells = [
            Cell(_linked(folder, row)),
            *(Cell(NOTHING if row[key] is None else str(row[key])) for key in WORDS[1:]),
        ]
        cells += [numeric(NOTHING if row[key] is None else _cell(row, key, show)) for key, (_, show) in shown.items()]
        lines.append(Line(cells, kinds[_kind(row)]))
    head = [*map(Cell, WORDS), *(numeric(heading) for heading, _ in shown.values())]
    return Table(head, lines)


def _linked(folder: Path, row: Row) -> str | Markup:
    """The name of the row's run, as a link to its report where it has one."""
    name, report = row["run"], Path(row["folder"]) / "report.html"
    if not (folder / report).exists():
        return str(name)
    return Markup('<a href="{}">{}</a>').format(quote(report.as_posix()), name)


def _csv_rows(rows: Sequence[Row]) -> list[list[object]]:
    names = [*WORDS, "data", "device", *FIGURES]
    return [list(names), *([row[name] for name in names] for row in rows)]
