"""The contest of a search, as a part of its page: who was compared where, who stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.report import charts
from nas.report.charts import number
from nas.report.parts import NOTHING, Cell, Chart, Line, Section, Table, numeric
from nas.runs.stored import Percent, Positive, Schema, record

NETWORK: Schema = {"name": str, "score": float | None, "genotype": list[int] | None}
RIGHT_CLASS = "right_class_percent"
RUNG: Schema = {"epochs": Positive, "networks": list[dict], "by": str | None}  # None: an older run, by accuracy
ROW: Schema = {"name": str, "validation_top1_percent": Percent | None, RIGHT_CLASS: Percent | None, "kept": bool}
CONTEST: Schema = {"networks": list[dict], "rungs": list[dict], "winner": str, "score_is": str, "plan": dict}
PLAN: Schema = {"epochs": Positive, "total_epochs": Positive, "from_contest": bool | None}  # None: an older run


@dataclass(frozen=True)
class Contest(Section):
    """Networks trained against each other along a schedule of `epochs`; `total_epochs` in all.

    `anew`: whether the last one was then trained from the beginning, not from its last cut. `late`: the first epoch
    where networks were compared by the probability of the right class; None where accuracies decided everywhere.
    """

    epochs: float
    total_epochs: float
    anew: bool
    late: float | None
    chart: Chart | None
    table: Table

    heading, template = "The contest", "contest.html"


def read_contest(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """The contest in `result.json`, its fields checked; None where none was held. Raises `ValueError` for damage."""
    if result.get("contest") is None:
        return None
    found = record(result["contest"], CONTEST, "the contest of the result")
    found["plan"] = record(found["plan"], PLAN, "the plan of the contest")
    found["networks"] = [record(network, NETWORK, "a network of the contest") for network in found["networks"]]
    found["rungs"] = [record(rung, RUNG, "a rung of the contest") for rung in found["rungs"]]
    if not found["networks"] or not found["rungs"]:
        raise ValueError("the contest of the result has no networks or no rungs; it is damaged")
    for rung in found["rungs"]:
        rung["networks"] = [record(row, ROW, "a network at a rung") for row in rung["networks"]]
    return found


def contest(result: Mapping[str, Any]) -> Contest | None:
    """A row a network, best first, with its accuracy at each rung. None where there was no contest."""
    found = read_contest(result)
    if found is None:
        return None
    known = {(row["name"], r["epochs"]): row for r in found["rungs"] for row in r["networks"]}
    epochs = [rung["epochs"] for rung in found["rungs"]]
    late = [rung["epochs"] for rung in found["rungs"] if rung["by"] == RIGHT_CLASS]
    lines = []
    for place, network in enumerate(found["networks"], start=1):
        name, score = network["name"], network["score"]
        cells = [Cell(str(place)), Cell(name, strong=place == 1)]
        cells.append(numeric(NOTHING if score is None else number(score)))
        cells += [numeric(_percent(known.get((name, each)), each in late)) for each in epochs]
        lines.append(Line(cells))
    head = [Cell("place"), Cell("network"), numeric(f"score: {found['score_is']}")]
    head += [numeric(f"% after {each}") for each in epochs]
    series = [(network["name"], _points(network["name"], found["rungs"])) for network in found["networks"]]
    chart = charts.line_chart("contest: validation accuracy, %", series, "epoch")
    plan = found["plan"]
    anew, first = plan["from_contest"] is False, min(late, default=None)
    return Contest(plan["epochs"], plan["total_epochs"], anew, first, chart, Table(head, lines))


def _points(name: str, rungs: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Epochs and accuracy wherever the network called `name` was compared."""
    rows = [(rung["epochs"], row) for rung in rungs for row in rung["networks"] if row["name"] == name]
    percents = [(epochs, row["validation_top1_percent"]) for epochs, row in rows]
    return [(epochs, percent) for epochs, percent in percents if percent is not None]


def _percent(row: Mapping[str, Any] | None, is_late: bool) -> str:
    if row is None:
        return ""
    percent, right = row["validation_top1_percent"], row[RIGHT_CLASS]
    if percent is None:
        return "failed"
    return (
        f"{percent:.2f}{f' ({right:.2f})' if is_late and right is not None else ''}{'' if row['kept'] else ' – left'}"
    )
