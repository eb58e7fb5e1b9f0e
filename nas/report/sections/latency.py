"""Latency as it was asked, estimated and measured, and how far the table behind the estimates can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nas.latency.tables.table import LatencyTable
from nas.report import bars, charts
from nas.report.charts import number
from nas.report.parts import NOTHING, Cell, Chart, Line, Section, Table, numeric


@dataclass(frozen=True)
class Latency(Section):
    """`verdict`: tone and words where it was asked and measured; `error`: of the estimate, against the measurement;
    `is_cut`: whether the ruler shows the beginning of the reachable range alone."""

    asked: str
    measured: str
    verdict: tuple[str, str] | None
    error: str | None
    not_measured: str | None
    reach: str | None
    is_cut: bool
    ruler: Markup

    heading, template = "Latency: asked, estimated, measured", "latency.html"


def latency(result: Mapping[str, Any]) -> Latency | None:
    """None where nothing was estimated or measured."""
    asked, estimated, measured = (result[f"{kind}_latency_ms"] for kind in ("asked", "estimated", "measured"))
    if measured is None and estimated is None:
        return None
    reach = result.get("reachable_latency_ms")
    known = (("asked", asked), ("estimated", estimated), ("measured", measured))
    marks = [(name, value) for name, value in known if value is not None]
    verdict = error = None
    if asked is not None and measured is not None:
        off = abs(100 * (measured / asked - 1))
        met = ("good", f"{off:.1f}% below, within the budget")
        verdict = met if measured <= asked else ("poor", f"{off:.1f}% over, above the budget")
        if estimated is not None:
            percent = 100 * (estimated / measured - 1)
            error = f"{abs(percent):.1f}% {'above' if percent > 0 else 'below'}"
    return Latency(
        asked=_ms(asked),
        measured=_ms(measured),
        verdict=verdict,
        error=error,
        not_measured=result["not_measured"],
        reach=f"{_ms(reach[0])} to {_ms(reach[1])}" if reach else None,
        is_cut=reach is not None and bars.drawn_to(reach, [value for _, value in marks]) < reach[1],
        ruler=bars.ruler(reach, marks),
    )


@dataclass(frozen=True)
class Proven(Section):
    """What the proof says ('': there is none), the blocks that fell back (''), its networks and its figures."""

    has_faults: bool
    sentence: str
    fell_back: str
    chart: Chart | None
    table: Table | None

    heading, template = "Can the latency table be trusted?", "proof.html"


def proof(table: LatencyTable | None) -> Proven | None:
    """None without a table, and for one that was not proven and of which nothing fell back."""
    fell_back = "" if table is None or table.fell_back is None else table.fell_back.sentence()
    if table is None or (table.proof is None and not fell_back):
        return None
    if table.proof is None:
        return Proven(has_faults=False, sentence="", fell_back=fell_back, chart=None, table=None)
    columns, rows = table.proof.table()
    held = [(n["estimate_ms"], n["measured_ms"]) for n in table.networks if n["role"] != "fit"]
    fit = [(n["estimate_ms"], n["measured_ms"]) for n in table.networks if n["role"] == "fit"]
    groups = [("held out", held), ("used to calibrate", fit)]
    return Proven(
        has_faults=bool(table.proof.faults),
        sentence=table.proof.sentence(),
        fell_back=fell_back,
        chart=charts.scatter_chart("measured against estimated, ms; the band is ±10%", groups, "estimated", 0.1),
        table=Table(_cells(columns), [Line(_cells(row)) for row in rows]),
    )


def _cells(row: Sequence[object]) -> list[Cell]:
    return [Cell(str(row[0])), *(numeric(str(value)) for value in row[1:])]


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{number(value)} ms"
