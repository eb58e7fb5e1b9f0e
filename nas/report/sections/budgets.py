"""What was asked of a network and whether it holds."""

from __future__ import annotations

from typing import Any

from nas.derive.verdict import COSTS, amount
from nas.report.bars import bar
from nas.report.charts import number

NOTHING = "–"


def budgets(result: dict[str, Any]) -> str:
    """Every budget with what the network has, and the verdict. Empty where none was asked."""
    rows: list[tuple[str, str, str, float | None]] = []
    if (asked := result["asked_latency_ms"]) is not None:
        measured = result["measured_latency_ms"]
        how, ms = ("measured", measured) if measured is not None else ("estimated", result["estimated_latency_ms"])
        has = NOTHING if ms is None else f"{number(ms)} ms {how}"
        rows.append(("latency", f"{number(asked)} ms", has, None if ms is None else ms / asked))
    for key, name, unit in COSTS:
        if (asked := result[f"asked_{key}"]) is not None:
            has = NOTHING if result[key] is None else f"{amount(result[key])}{unit}"
            used = None if result[key] is None or not asked else result[key] / asked
            rows.append((name, f"{amount(asked)}{unit}", has, used))
    if not rows:
        return ""
    verdict = ""
    if result["budget_met"] is not None:
        kind, words = ("good", "budget met") if result["budget_met"] else ("poor", "budget missed")
        verdict = f"<p><span class='verdict {kind}'>{words}</span></p>"
    lines = "".join(
        f"<tr><td>{name} asked</td><td class='n'>at most {most}</td><td class='n'>{has}</td>"
        f"<td class='n'>{NOTHING if used is None else f'{100 * used:.1f}%'}</td>"
        f"<td>{bar(used or 0.0, _kind(used))}</td></tr>"
        for name, most, has, used in rows
    )
    head = "<th>budget</th><th class='n'>asked</th><th class='n'>it has</th><th class='n'>used</th><td></td>"
    return f"<h2>Budgets</h2>{verdict}<div class='panel' tabindex='0'><table><tr>{head}</tr>{lines}</table></div>"


def _kind(used: float | None) -> str:
    return "over" if used is not None and used > 1 else "within"
