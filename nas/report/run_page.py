"""`report.html`: one run on one self-contained page, from the files of its directory alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.derive.handover import read_theta
from nas.latency.tables.table import LatencyTable
from nas.report.charts import count, number
from nas.report.figures import write_figures
from nas.report.page import page
from nas.report.parts import NOTHING
from nas.report.sections.answers import answers
from nas.report.sections.budgets import budgets
from nas.report.sections.candidates import candidates
from nas.report.sections.contest import contest
from nas.report.sections.costs import costs
from nas.report.sections.curves import curves
from nas.report.sections.decided import decided
from nas.report.sections.diagnosis import diagnosis
from nas.report.sections.latency import latency, proof
from nas.report.sections.network import layers
from nas.report.sections.references import ahead, references
from nas.report.sections.stages import stages
from nas.report.sections.usage import repeat, usage
from nas.runs.files import write_text
from nas.runs.result_file import read_environment, read_result
from nas.runs.run import Run, read_metrics
from nas.train.answers.guessing import is_near_guessing
from search_spaces.memory.counted import amount


@dataclass(frozen=True)
class Head:
    """What the reader sees first: where it was found, its figures, and `marks`, each with its tone."""

    where: str
    cards: list[tuple[str, str]]
    weights: str | None
    marks: list[tuple[str, str]]


def write_report(run: str | Path, png: bool = False) -> Path:
    """Write `<run>/report.html` and, beside it, `figures/` with its charts and their figures; the page's path.

    `png`: the charts as pictures too. Raises `ValueError` where `run` has no finished result.
    """
    path, text = Path(run), report_html(run)
    write_figures(path, text, png)
    return write_text(path / "report.html", text)


def report_html(run: str | Path) -> str:
    """The page as text. It loads nothing: style, charts and pictures are inside."""
    path = Path(run)
    settings = Run.read_config(path)
    result = read_result(path)
    environment = read_environment(path)
    metrics = read_metrics(path)
    table = LatencyTable.load(path / "table.json") if (path / "table.json").exists() else None
    theta = read_theta(path) if (path / "theta.json").exists() else None
    sections = [
        ahead(result),
        budgets(result),
        latency(result),
        candidates(path, result, settings.get("search")),
        references(result),
        stages(path, result, table),
        layers(path, table, result, theta),
        decided(result, theta),
        contest(result),
        diagnosis(path, result),
        answers(path),
        curves(path, metrics, result),
        costs(path, result, 1 + len(environment["resumed"])),
        proof(table),
        usage(path, result, settings.get("data")),
        repeat(settings, environment),
    ]
    shown = [section for section in sections if section is not None]
    return page("run.html", shown, title=_title(result), head=_head(result, environment, table))


def _head(result: dict[str, Any], environment: dict[str, Any], table: LatencyTable | None) -> Head:
    device = f"device {result['device']}, " if result["device"] else ""
    began = environment["began"].strftime("%Y-%m-%d %H:%M %Z") if environment["began"] else "at an unknown time"
    top1, ms = result["top1_percent"], result["measured_latency_ms"]
    cards = [
        (NOTHING if ms is None else f"{number(ms)} ms", "measured latency"),
        (NOTHING if top1 is None else f"{top1:.2f}%", f"test accuracy on {result['data']}"),
        (count(result["params"]), "parameters"),
        (count(result["macs"]), "multiply-adds"),
        (_kib(result["memory_kib"]), "peak memory"),
        (_kib(result["weights_kib"]), "of weights"),
    ]
    return Head(
        where=f"{device}seed {result['seed']}, {began}",
        cards=[(value, label) for value, label in cards if value != NOTHING],
        weights=result.get("weights"),
        marks=_marks(result, table),
    )


def _kib(value: float | None) -> str:
    return NOTHING if value is None else f"{amount(value)} KiB"


def _marks(result: dict[str, Any], table: LatencyTable | None) -> list[tuple[str, str]]:
    """What the reader must know before any figure, as marks: budgets, decision, references, table."""
    marks = []
    if result["budget_met"] is not None:
        marks.append(("good", "budget met") if result["budget_met"] else ("poor", "budget missed"))
    if result["decided"] is not None:
        count_open = len(result["undecided_positions"] or [])
        left = f"{count_open} of {result['choices_to_decide']} choices left open"
        marks.append(
            ("good", f"search decided, {left}") if result["decided"] else ("poor", f"search undecided: {left}")
        )
    if is_near_guessing(result):
        marks.append(("poor", f"near guessing, which has {number(result['guessing_percent'])}%"))
    compared = [row for row in result["references"] or [] if row.get("top1_percent") is not None]
    if result["handed_over"] is not None:
        marks.append(("poor", "a reference is handed over: it was ahead of what was found"))
    elif compared:
        leading = any(row.get("ahead") for row in compared)
        marks.append(("poor", "a reference is ahead") if leading else ("good", "no reference ahead"))
    elif result["space"] is not None:
        marks.append(("plain", "not compared with trained references"))
    if table is not None and table.proof is not None:
        sure = not table.proof.faults
        marks.append(("good", "latency table proven") if sure else ("poor", "latency table in doubt"))
    return marks


def _title(result: dict[str, Any]) -> str:
    if result["space"] is None:
        return f"A network trained on {result['data']}"
    if result["handed_over"] is not None:
        return f"{result['handed_over']}, handed over by a search of the {result['space']} space"
    return f"A network of the {result['space']} space, found by {result['method']}"
