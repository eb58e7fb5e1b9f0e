"""Fill the tables of README.md from results.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.figures import fill

HERE = Path(__file__).parent


def tables(found: dict[str, Any]) -> list[str]:
    proof, between, held_out = found["proof"], found["interpolation"], found["held_out_rows"]
    fit, raw, twice = proof["calibrated"], proof["raw"], proof["ceiling"]
    low, high = found["measured_ms"]
    lines = [
        "| figure | value |",
        "| --- | --- |",
        f"| rows measured; interpolated | {found['rows']:,}; {between['rows']:,.0f} |",
        f"| seconds; load average before, afterwards (two cores) | {found['seconds']:.0f}; "
        f"{found['load_average']:.1f}, {found['load_average_afterwards']:.1f} |",
        f"| {held_out['rows']} interpolated rows, measured afterwards: mean error, bias, 90% below | "
        f"{held_out['mape_percent']:.1f}%, {held_out['bias_percent']:+.1f}%, {held_out['worst_tenth_percent']:.1f}% |",
        f"| measured rows, each left out: mean error | {between['left_out_mape_percent']:.1f}% |",
        f"| share of interpolated rows in the time of the held-out networks | {between['share_percent']:.0f}% |",
        f"| {proof['networks']} held-out networks of {low:.2f} to {high:.1f} ms: mean error, within 10%, tau | "
        f"{fit['mape_percent']:.1f}%, {fit['within_10_percent']:.0f}%, {fit['kendall_tau']:.3f} |",
        f"| sums of isolated times: mean error, tau | {raw['mape_percent']:.1f}%, {raw['kendall_tau']:.3f} |",
        f"| the same networks timed twice: mean error, tau | {twice['mape_percent']:.1f}%, "
        f"{twice['kendall_tau']:.3f} |",
        f"| margin; gates missed | {100 * found['margin']:.1f}%; {'; '.join(found['faults']) or 'none'} |",
        "",
        "| network | multiply-adds, M | estimated, ms | measured, ms (half interquartile range) | error |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, net in found["hand_made"].items():
        lines.append(
            f"| {name} | {net['macs'] / 1e6:.1f} | {net['estimate_ms']:.3f} | {net['measured_ms']:.3f} "
            f"({net['spread_ms']:.3f}) | {100 * (net['estimate_ms'] / net['measured_ms'] - 1):+.1f}% |"
        )
    return lines


if __name__ == "__main__":
    fill(HERE / "README.md", "\n".join(tables(json.loads((HERE / "results.json").read_text()))))
