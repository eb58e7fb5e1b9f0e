"""`report.html`: one run on one self-contained page, from the files of its directory alone.

Not Jinja2: every part of the page is there or not, depending on what the run left behind, so a template would consist
of conditions; here each part is a function that gives its HTML, or an empty string.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import yaml

from nas.derive.handover import read_theta
from nas.latency.tables.table import LatencyTable
from nas.report import charts
from nas.report.budgets import budgets, candidates
from nas.report.charts import count, number
from nas.report.contest import contest
from nas.report.decided import decided
from nas.report.diagnosis import diagnosis
from nas.report.references import ahead, references
from nas.runs.files import write_text
from nas.runs.result_file import read_environment, read_result
from nas.runs.run import Run, read_metrics
from nas.terminal.progress import format_seconds
from search_spaces.arch import Arch

NOTHING = "–"
STYLE = Path(__file__).with_name("run_page.css")


def write_report(run: str | Path) -> Path:
    """Write `<run>/report.html` and return its path. Raises `ValueError` where `run` has no finished result."""
    return write_text(Path(run) / "report.html", report_html(run))


def report_html(run: str | Path) -> str:
    """The page as text. It loads nothing: style and charts are inside."""
    path = Path(run)
    config = Run.read_config(path)
    result = read_result(path)
    environment = read_environment(path)
    metrics = read_metrics(path)
    table = LatencyTable.load(path / "table.json") if (path / "table.json").exists() else None
    theta = read_theta(path) if (path / "theta.json").exists() else None
    sections = [
        _head(result, environment),
        ahead(result),
        budgets(result),
        _latency(result),
        references(result),
        _network(path, table, result, theta),
        decided(result, theta),
        candidates(path, result.get("scorer")),
        contest(result),
        diagnosis(path, result),
        _curves(metrics, result),
        _proof(table),
        _repeat(config, environment),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(_title(result))}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body><main>\n{''.join(sections)}</main></body></html>\n"
    )


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
        (_seconds(result.get("pretrain_seconds")), "pretraining"),
        (_seconds(result["search_seconds"]), "search"),
        (_seconds(result["train_seconds"]), "training"),
    ]
    boxes = "".join(
        f'<div class="card"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
        for value, label in cards
        if value != NOTHING
    )
    weights = f"<p class='soft'>weights: {escape(result['weights'])}</p>" if result.get("weights") else ""
    return (
        f"<h1>{escape(_title(result))}</h1><p class='soft'>{escape(where)}</p><div class='cards'>{boxes}</div>{weights}"
    )


def _latency(result: dict[str, Any]) -> str:
    asked, estimated, measured = (result[f"{kind}_latency_ms"] for kind in ("asked", "estimated", "measured"))
    if measured is None and estimated is None:
        return ""
    marks = [("asked", asked), ("estimated", estimated), ("measured", measured)]
    ruler = charts.ruler(result.get("reachable_latency_ms"), [(n, v) for n, v in marks if v is not None])
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


def _network(path: Path, table: LatencyTable | None, result: dict[str, Any], theta: dict[str, Any] | None) -> str:
    """One row per layer: block, shapes, cost, its milliseconds, and how sure the search was."""
    arch = Arch.load(path / "arch.json")
    if result["handed_over"]:  # a network that no position chose, and whose rows the table may lack
        table, theta = None, None
    positions = _chosen(path, theta["positions"], result["genotype"] or []) if theta else {}
    steps = [step for stage in arch.walk_stages() for step in stage]
    places = [(number_, index) for number_, stage in enumerate(arch.stages) for index in range(len(stage))]
    prices = [table.price_ms(layer, shape) if table else 0.0 for layer, shape in steps]
    longest = max(prices) or 1.0
    rows = []
    for (number_, index), (layer, shape), ms in zip(places, steps, prices, strict=True):
        inner = 0 < number_ < len(arch.stages) - 1
        name = f"stage{number_}.{index}" if inner else ("stem" if number_ == 0 else "head")
        searched = name in positions if theta else inner  # some spaces fix blocks too
        cost = layer.cost(shape)
        cells = [
            f"<td>{name}</td><td><b>{escape(layer.label)}</b></td>",
            f"<td>{_shape(shape)} → {_shape(layer.out_shape(shape))}</td>",
            f"<td class='n'>{count(cost.params)}</td><td class='n'>{count(cost.macs)}</td>",
        ]
        if table:
            bar = f"<span class='bar' style='width:{100 * ms / longest:.1f}px'></span>"
            cells.append(f"<td class='n'>{ms:.4f}</td><td>{bar}</td>")
        if theta and searched:
            position, gene = positions[name]
            shares = list(zip(position["labels"], position["probabilities"], strict=True))
            cells.append(f"<td class='n'>{100 * shares[gene][1]:.0f}%</td>")
            cells.append(f"<td class='wide'>{charts.share_bar(shares, gene)}</td>")
        elif theta:
            cells.append("<td></td><td></td>")
        rows.append(f"<tr{'' if searched else ' class=fixed'}>{''.join(cells)}</tr>")
    head = "<th>layer</th><th>block</th><th>shape</th><th class='n'>params</th><th class='n'>macs</th>"
    head += "<th class='n'>ms</th><th></th>" if table else ""
    head += "<th class='n'>P</th><th></th>" if theta else ""
    note = "<p>The blue part of a bar is the probability of the block that was taken; point at a part to read it.</p>"
    return (
        f"<h2>The network</h2>{note if theta else ''}"
        f"<div class='panel'><table><tr>{head}</tr>{''.join(rows)}</table></div>"
    )


def _chosen(path: Path, positions: list[dict[str, Any]], genotype: list[int]) -> dict[str, tuple[dict[str, Any], int]]:
    """Each searched position by name, with the gene that the network has there."""
    sizes = [len(position["labels"]) for position in positions]
    if len(genotype) != len(sizes) or not all(0 <= g < size for g, size in zip(genotype, sizes, strict=True)):
        raise ValueError(f"{path}: the genotype in result.json does not fit theta.json; they are of different searches")
    return {position["name"]: (position, gene) for position, gene in zip(positions, genotype, strict=True)}


CURVES = (  # title, [(metric, legend)], the result's figure drawn as a reference line
    ("pretrain: loss on the labels", [("largest_loss", "largest arch"), ("smallest_loss", "smallest")], None),
    (
        "pretrain: accuracy on the training images, %",
        [("largest_top1_percent", "largest arch"), ("smallest_top1_percent", "smallest")],
        None,
    ),
    ("search: loss", [("weight_loss", "weight steps"), ("theta_loss", "theta steps")], None),
    ("search: expected latency, ms", [("expected_latency_ms", "expected")], ("limit_latency_ms", "limit")),
    ("search: entropy of theta, nats", [("theta_entropy", "entropy")], None),
    (
        "search: how decided, of 1",
        [("mean_top_probability", "mean top probability"), ("normalised_entropy", "entropy")],
        ("decided_at", "decided"),
    ),
    ("search: temperature", [("temperature", "temperature")], None),
    (
        "search: validation accuracy, %",
        [("validation_top1_percent", "candidate"), ("best_validation_top1_percent", "best so far")],
        None,
    ),
    ("search: latency of candidates, ms", [("latency_ms", "estimated")], ("limit_latency_ms", "limit")),
    ("train: loss", [("train_loss", "training")], None),
    ("train: test accuracy, %", [("top1_percent", "top-1")], None),
)


CANDIDATE_METRICS = {"validation_top1_percent", "latency_ms"}  # one record per candidate


def _curves(metrics: list[dict[str, Any]], result: dict[str, Any]) -> str:
    figures = []
    for title, names, reference in CURVES:
        phase = title.partition(":")[0]
        records = [record for record in metrics if record["phase"] == phase]
        series = [
            (legend, [(r["step"] + 1, r[name]) for r in records if isinstance(r.get(name), int | float)])
            for name, legend in names
        ]
        line = (reference[1], result[reference[0]]) if reference and result.get(reference[0]) is not None else None
        step = "candidate" if any(name in CANDIDATE_METRICS for name, _ in names) else "epoch"
        figures.append(charts.line_chart(title, series, step, line))
    if not any(figures):
        return ""
    return f"<h2>How it went</h2><div class='charts'>{''.join(figures)}</div>"


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
        f"<div class='charts'>{plot}<div class='panel'><table><tr>{head}</tr>{body}</table></div></div>"
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


def _shape(shape: Any) -> str:
    return f"{shape.channels}x{shape.height}x{shape.width}"


def _ms(value: float | None) -> str:
    return NOTHING if value is None else f"{number(value)} ms"


def _kib(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.4g} KiB"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}%"


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else format_seconds(value)
