"""Fill the table of README.md from results.json."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.figures import fill

HERE = Path(__file__).parent
MACHINES = {"AMD EPYC": "EPYC", "Intel(R) Xeon(R) Processor": "Xeon"}


def table(results: dict[str, dict], before: dict[str, dict]) -> list[str]:
    """`before`: the same tables measured by one process and without references beside each visit."""
    lines = [
        "| table | machine | raw: MAPE, tau | calibrated: MAPE, within 5%, 10%, tau | ceiling: MAPE, tau | margin | "
        "seconds | "
        "load | networks, ms | verdict | one process: MAPE, tau, seconds, load |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, r in results.items():
        raw, fit, top = (r["proof"][kind] for kind in ("raw", "calibrated", "ceiling"))
        low, high = r["measured_ms"]
        own = "this row" if "measuring" not in r["environment"] else _short(before[name]) if name in before else "-"
        lines.append(
            f"| {name} | {MACHINES[r['environment']['cpu']]} | {raw['mape_percent']:.1f}%, {raw['kendall_tau']:.3f} | "
            f"{fit['mape_percent']:.2f}%, "
            f"{fit['within_5_percent']:.0f}%, {fit['within_10_percent']:.0f}%, {fit['kendall_tau']:.3f} | "
            f"{top['mape_percent']:.2f}%, {top['kendall_tau']:.3f} | {100 * r['margin']:.1f}% | {r['seconds']:.0f} | "
            f"{r['load_average']:.1f} | {low:.1f} to {high:.1f} | {'; '.join(r['faults']) or 'good'} | {own} |"
        )
    return lines


def _short(r: dict) -> str:
    fit = r["proof"]["calibrated"]
    return f"{fit['mape_percent']:.2f}%, {fit['kendall_tau']:.3f}, {r['seconds']:.0f}, {r['load_average']:.1f}"


if __name__ == "__main__":
    found, before = (json.loads((HERE / f"{name}.json").read_text()) for name in ("results", "one_process"))
    fill(HERE / "README.md", "\n".join(table(found, before)))
