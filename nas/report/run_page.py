"""`report.html`: one run on one self-contained page, from the files of its directory alone."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import yaml

from nas.derive.handover import read_theta
from nas.latency.tables.table import LatencyTable
from nas.report import bars, charts
from nas.report.charts import count, number
from nas.report.figures import write_figures
from nas.report.page import page
from nas.report.sections.answers import answers
from nas.report.sections.budgets import budgets
from nas.report.sections.candidates import candidates
from nas.report.sections.contest import contest
from nas.report.sections.costs import costs
from nas.report.sections.curves import curves
from nas.report.sections.decided import decided
from nas.report.sections.diagnosis import diagnosis
from nas.report.sections.network import layers
from nas.report.sections.references import ahead, references
from nas.report.sections.stages import stages
from nas.report.sections.usage import usage
from nas.runs.files import write_text
from nas.runs.result_file import read_environment, read_result
from nas.runs.run import Run, read_metrics

NOTHING = "–"


def write_report(run: str | Path) -> Path:
    """Write `<run>/report.html` and, beside it, `figures/` with its charts and their figures; the page's path.

    Raises `ValueError` where `run` has no finished result.
    """
    path, text = Path(run), report_html(run)
    write_figures(path, text)
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
        _latency(result),
        candidates(path, result),
        references(result),
        stages(path, result, table),
        layers(path, table, result, theta),
        decided(result, theta),
        contest(result),
        diagnosis(path, result),
        answers(path),
        curves(path, metrics, result),
        costs(path, result, 1 + len(environment["resumed"])),
        _proof(table),
        usage(path, result, settings.get("data")),
        _repeat(settings, environment),
    ]
    return page(_title(result), _head(result, environment) + _in_short(result, table), "".join(sections))


def _in_short(result: dict[str, Any], table: LatencyTable | None) -> str:
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
    compared = [row for row in result["references"] or [] if row.get("top1_percent") is not None]
    if compared:
        leading = any(row.get("ahead") for row in compared)
        marks.append(("poor", "a reference is ahead") if leading else ("good", "no reference ahead"))
    elif result["space"] is not None:
        marks.append(("plain", "not compared with trained references"))
    if table is not None and table.proof is not None:
        sure = not table.proof.faults
        marks.append(("good", "latency table proven") if sure else ("poor", "latency table in doubt"))
    if not marks:
        return ""
    return f"<ul class='marks'>{''.join(f'<li class={kind}>{escape(words)}</li>' for kind, words in marks)}</ul>"


def _title(result: dict[str, Any]) -> str:
    if result["space"] is None:
        return f"A network trained on {result['data']}"
    return f"A network of the {result['space']} space, found by {result['method']}"


def _head(result: dict[str, Any], environment: dict[str, Any]) -> str:
    device = f"device {result['device']}, " if result["device"] else ""
    began = environment["began"].strftime("%Y-%m-%d %H:%M %Z") if environment["began"] else "at an unknown time"
    where = f"{device}seed {result['seed']}, {began}"
    cards = [
        (_ms(result["measured_latency_ms"]), "measured latency"),
        (_percent(result["top1_percent"]), f"test accuracy on {result['data']}"),
        (count(result["params"]), "parameters"),
        (count(result["macs"]), "multiply-adds"),
        (_kib(result["memory_kib"]), "peak memory"),
        (_kib(result["weights_kib"]), "of weights"),
    ]
    boxes = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
        for value, label in cards
        if value != NOTHING
    )
    weights = f"<p class='soft'>weights: {escape(result['weights'])}</p>" if result.get("weights") else ""
    return (
        f"<header><h1>{escape(_title(result))}</h1><p class='soft'>{escape(where)}</p></header>"
        f"<div class='cards'>{boxes}</div>{weights}"
    )


def _latency(result: dict[str, Any]) -> str:
    asked, estimated, measured = (result[f"{kind}_latency_ms"] for kind in ("asked", "estimated", "measured"))
    if measured is None and estimated is None:
        return ""
    marks = [("asked", asked), ("estimated", estimated), ("measured", measured)]
    ruler = bars.ruler(result.get("reachable_latency_ms"), [(n, v) for n, v in marks if v is not None])
    sentence = "No latency was asked for."
    if asked is not None and measured is not None:
        kind, words = ("good", "within the budget") if measured <= asked else ("poor", "above the budget")
        sentence = (
            f"Asked {_ms(asked)}, measured {_ms(measured)}: <span class='verdict {kind}'>"
            f"{abs(100 * (measured / asked - 1)):.1f}% {'below' if measured <= asked else 'over'}, {words}</span>."
        )
        if estimated is not None:
            error = 100 * (estimated / measured - 1)
            sentence += f" The estimate was {abs(error):.1f}% {'above' if error > 0 else 'below'} the measurement."
    elif result["not_measured"]:
        sentence = f"Not measured: {escape(result['not_measured'])}."
    if result.get("reachable_latency_ms"):
        sentence += " The grey bar is what networks of this space can take."
    return f"<h2>Latency: asked, estimated, measured</h2><p>{sentence}</p><div class='panel'>{ruler}</div>"


def _proof(table: LatencyTable | None) -> str:
    if table is None or table.proof is None:
        return ""
    columns, rows = table.proof.table()
    head = "".join(f"<th{' class=n' if i else ''}>{escape(str(name))}</th>" for i, name in enumerate(columns))
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=n' if i else ''}>{escape(str(cell))}</td>" for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    held = [(n["estimate_ms"], n["measured_ms"]) for n in table.networks if n["role"] != "fit"]
    fit = [(n["estimate_ms"], n["measured_ms"]) for n in table.networks if n["role"] == "fit"]
    groups = [("held out", held), ("used to calibrate", fit)]
    plot = charts.scatter_chart("measured against estimated, ms; the band is ±10%", groups, "estimated", 0.1)
    kind = "poor" if table.proof.faults else "good"
    return (
        f"<h2>Can the latency table be trusted?</h2><p>On whole networks it had not seen: "
        f"<span class='verdict {kind}'>{escape(table.proof.sentence())}</span>.</p>{_fell_back(table)}"
        f"<div class='charts'>{plot}<div class='panel' tabindex='0'><table><tr>{head}</tr>{body}</table></div></div>"
    )


def _fell_back(table: LatencyTable) -> str:
    said = table.fell_back.sentence() if table.fell_back is not None else ""
    return f"<p>{escape(said)}.</p>" if said else ""


def _repeat(config: dict[str, Any], environment: dict[str, Any]) -> str:
    facts = {
        "commit": environment["git_commit"],
        "python": environment["python"],
        **environment["packages"],
        "system": environment["platform"],
        "processor": environment["cpu"]
        and f"{environment['cpu']}, {environment['usable_cpus']} of {environment['cpu_count']} cores",
        "gpu": environment["gpu"],
    }
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(str(v))}</td></tr>" for k, v in facts.items() if v)
    settings = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    again = "".join(f"<pre>{escape(resumed['command'])}</pre>" for resumed in environment["resumed"])
    return (
        f"<h2>To repeat it</h2><div class='panel'><pre>{escape(environment['command'] or 'unknown')}</pre>{again}"
        f"<table>{rows}</table><details><summary>all settings</summary><pre>{escape(settings)}</pre></details></div>"
    )


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{number(value)} ms"


def _kib(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.4g} KiB"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}%"
