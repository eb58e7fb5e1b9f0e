"""What was asked of a network and whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nas.derive.verdict import COSTS
from nas.report.bars import bar
from nas.report.charts import number
from nas.report.parts import NOTHING, Cell, Line, Section, Table, numeric
from search_spaces.memory.counted import amount


@dataclass(frozen=True)
class Budgets(Section):
    """Every budget with what the network has, and the verdict; None where it is open."""

    met: bool | None
    table: Table

    heading, template = "Budgets", "budgets.html"


def budgets(result: dict[str, Any]) -> Budgets | None:
    """None where no budget was asked."""
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
        return None
    head = [Cell("budget"), numeric("asked"), numeric("it has"), numeric("used"), Cell("")]
    return Budgets(result["budget_met"], Table(head, [_line(*row) for row in rows]))


def _line(name: str, most: str, has: str, used: float | None) -> Line:
    share = NOTHING if used is None else f"{100 * used:.1f}%"
    kind = "over" if used is not None and used > 1 else "within"
    cells = [numeric(f"at most {most}"), numeric(has), numeric(share), Cell(bar(used or 0.0, kind))]
    return Line([Cell(f"{name} asked"), *cells])
