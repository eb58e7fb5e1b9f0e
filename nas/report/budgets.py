"""What was asked of a network and whether it holds, and the candidates among which it was found: parts of a page."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from nas.derive.verdict import COSTS, amount
from nas.report import charts
from nas.report.charts import number
from nas.runs.files import read_json
from nas.runs.stored import Percent, record


def budgets(result: dict[str, Any]) -> str:
    """Every budget with what the network has, and the verdict. Empty where none was asked."""
    rows = []
    if result["asked_latency_ms"] is not None:
        measured = result["measured_latency_ms"]
        how, ms = ("measured", measured) if measured is not None else ("estimated", result["estimated_latency_ms"])
        has = "–" if ms is None else f"{number(ms)} ms {how}"
        rows.append(("latency asked", f"{number(result['asked_latency_ms'])} ms", has))
    for key, name, unit in COSTS:
        if result[f"asked_{key}"] is not None:
            has = "–" if result[key] is None else f"{amount(result[key])}{unit}"
            rows.append((f"{name} asked", f"{amount(result[f'asked_{key}'])}{unit}", has))
    if not rows:
        return ""
    verdict = ""
    if result["budget_met"] is not None:
        kind, words = ("good", "budget met") if result["budget_met"] else ("poor", "budget missed")
        verdict = f"<p><span class='verdict {kind}'>{words}</span></p>"
    lines = "".join(f"<tr><td>{a}</td><td class='n'>at most {b}</td><td class='n'>{c}</td></tr>" for a, b, c in rows)
    return f"<h2>Budgets</h2>{verdict}<div class='panel'><table>{lines}</table></div>"


def candidates(run: Path, scorer: str | None) -> str:
    """All candidates over each budgeted cost, and those that no other beats. Empty for other methods.

    `scorer`: `elastic` where none of them was trained.
    """
    path = run / "trials.json"
    if not path.exists():
        return ""
    stored = read_json(path, "trials of a search")
    if not isinstance(stored, list):
        raise ValueError(f"{path} does not hold a list of trials; it is damaged or none of ours")
    schema = {"candidate": str, "validation_top1_percent": Percent | None, "costs": dict[str, float]}
    trials = [record(trial, schema, f"{path}: a trial") for trial in stored]
    trained = [trial for trial in trials if trial["validation_top1_percent"] is not None]
    parts = []
    for name in dict.fromkeys(cost for trial in trained for cost in trial["costs"]):
        points = [(t["costs"][name], t["validation_top1_percent"]) for t in trained if name in t["costs"]]
        best = set(charts.front(points))
        shown = {
            (t["costs"][name], t["validation_top1_percent"]): t["candidate"] for t in trained if name in t["costs"]
        }
        rows = "".join(
            f"<tr><td>{escape(shown[point])}</td><td class='n'>{_cost(name, point[0])}</td>"
            f"<td class='n'>{point[1]:.2f}</td></tr>"
            for point in sorted(best)
        )
        title = f"validation accuracy over {name}"
        parts.append(
            charts.front_chart(title, [("candidates", points)], name, "validation top-1, %")
            + f"<div class='panel'><table><tr><th>candidate</th><th class='n'>{escape(name)}</th>"
            f"<th class='n'>validation top-1, %</th></tr>{rows}</table></div>"
        )
    if not parts:
        return ""
    failed = f", {len(trials) - len(trained)} failed" if len(trained) < len(trials) else ""
    how = "scored with weights of the supernet" if scorer == "elastic" else "trained"
    note = f"<p>{len(trained)} candidates were {how}{failed}; below each chart those that no other one beats.</p>"
    return f"<h2>The candidates</h2>{note}{''.join(parts)}"


def _cost(name: str, value: float) -> str:
    return number(value) if name.endswith("_ms") else amount(value)
