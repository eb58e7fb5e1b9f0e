"""The contest of a search, as a part of its page: who was compared where, who stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nas.report import charts
from nas.report.charts import number
from nas.runs.stored import Percent, Positive, Schema, record

NETWORK: Schema = {"name": str, "score": float | None, "genotype": list[int] | None}
RUNG: Schema = {"epochs": Positive, "networks": list[dict]}
ROW: Schema = {"name": str, "validation_top1_percent": Percent | None, "kept": bool}
CONTEST: Schema = {"networks": list[dict], "rungs": list[dict], "winner": str, "score_is": str, "plan": dict}
PLAN: Schema = {"epochs": Positive, "total_epochs": Positive}


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


def contest(result: Mapping[str, Any]) -> str:
    """A row a network, best first, with its accuracy at each rung. Empty where there was no contest."""
    found = read_contest(result)
    if found is None:
        return ""
    known = {(row["name"], r["epochs"]): row for r in found["rungs"] for row in r["networks"]}
    epochs = [rung["epochs"] for rung in found["rungs"]]
    rows = []
    for place, network in enumerate(found["networks"], start=1):
        name, score = network["name"], network["score"]
        cells = [f"<td>{place}</td><td>{'<b>' if place == 1 else ''}{escape(name)}{'</b>' if place == 1 else ''}</td>"]
        cells.append(f"<td class='n'>{'–' if score is None else number(score)}</td>")
        cells += [f"<td class='n'>{_percent(known.get((name, each)))}</td>" for each in epochs]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    series = [(network["name"], _points(network["name"], found["rungs"])) for network in found["networks"]]
    head = f"<th>place</th><th>network</th><th class='n'>score: {escape(found['score_is'])}</th>"
    head += "".join(f"<th class='n'>% after {each}</th>" for each in epochs)
    plan = found["plan"]
    said = (
        f"<p>The most promising networks trained against each other, each along the schedule of {plan['epochs']} "
        f"epochs; {plan['total_epochs']} epochs in all, {plan['total_epochs'] / plan['epochs']:.2g} times a plain "
        "training. Judged on the validation part of the training images; the last one was trained to the end with all "
        "of them.</p>"
    )
    chart = charts.line_chart("contest: validation accuracy, %", series, "epoch")
    return (
        f"<h2>The contest</h2>{said}<div class='charts'>{chart}<div class='panel' tabindex='0'><table><tr>{head}</tr>"
        f"{''.join(rows)}</table></div></div>"
    )


def _points(name: str, rungs: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Epochs and accuracy wherever the network called `name` was compared."""
    rows = [(rung["epochs"], row) for rung in rungs for row in rung["networks"] if row["name"] == name]
    percents = [(epochs, row["validation_top1_percent"]) for epochs, row in rows]
    return [(epochs, percent) for epochs, percent in percents if percent is not None]


def _percent(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    percent = row["validation_top1_percent"]
    return "failed" if percent is None else f"{percent:.2f}{'' if row['kept'] else ' – left'}"
