"""Fill the tables of README.md from results-<machine>.json, and draw how far the rankings of runtimes agree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from experiments.figures import fill
from nas.latency.placement import Placement
from predictors.metrics import kendall_tau

HERE = Path(__file__).parent
Results = dict[str, dict[str, Any]]


def times(results: Results, kind: str) -> dict[str, np.ndarray]:
    """Milliseconds (`measured_ms` or `estimate_ms`) of the networks that all of `results` have, in one order."""
    by_arch = {way: {n["arch"]: n[kind] for n in found["networks"]} for way, found in results.items()}
    common = sorted(set.intersection(*(set(found) for found in by_arch.values())))
    return {way: np.array([found[arch] for arch in common]) for way, found in by_arch.items()}


def agreement(results: Results) -> np.ndarray:
    """Kendall's tau of each pair: above the diagonal as measured, below as the tables estimate, on it a table's own."""
    measured, estimated = times(results, "measured_ms"), times(results, "estimate_ms")
    ways = list(results)
    found = np.empty((len(ways), len(ways)))
    for i, a in enumerate(ways):
        for j, b in enumerate(ways):
            pair = (measured[a], measured[b]) if i < j else (estimated[a], estimated[b])
            found[i, j] = kendall_tau(*((estimated[a], measured[a]) if i == j else pair))
    return found


def proofs(results: Results) -> list[str]:
    lines = [
        "| runtime | version | networks, ms | error of the table: mean, within 10% | tau | machine slower than calm | "
        "load | minutes | ran otherwise than asked |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, found in results.items():
        fit = found["proof"]["calibrated"]
        took = [network["measured_ms"] for network in found["networks"]]
        fell = Placement.from_dict(found["fell_back"]) if found["fell_back"] else None
        lines.append(
            f"| {way} | {found['environment'][found['device']['runtime']]} | {min(took):.2f} to {max(took):.2f} | "
            f"{fit['mape_percent']:.1f}%, {fit['within_10_percent']:.0f}% | {fit['kendall_tau']:.3f} | "
            f"{100 * (found['environment'].get('slowdown', 1.0) - 1):.0f}% | {found['load_average']:.1f} | "
            f"{found['seconds'] / 60:.0f} | {(fell and fell.sentence()) or 'none'} |"
        )
    return lines


def matrix(results: Results) -> list[str]:
    found, ways = agreement(results), list(results)
    lines = [f"| tau | {' | '.join(ways)} |", f"| --- |{' --- |' * len(ways)}"]
    return lines + [f"| {way} | {' | '.join(f'{v:.2f}' for v in row)} |" for way, row in zip(ways, found, strict=True)]


def across(machines: Mapping[str, Results]) -> list[str]:
    """By runtime, how far two machines agree on the ranking of the same networks, and how their times compare."""
    (first, a), (second, b) = machines.items()
    lines = [
        f"| runtime | tau of measured times, {first} and {second} | ceilings | {first}: ms over {second}'s, median |",
        "| --- | --- | --- | --- |",
    ]
    for way in (way for way in a if way in b):
        one, other = (times({first: a[way], second: b[way]}, "measured_ms")[name] for name in (first, second))
        ceilings = [made[way]["proof"]["ceiling"]["kendall_tau"] for made in (a, b)]
        lines.append(
            f"| {way} | {kendall_tau(one, other):.2f} | {ceilings[0]:.2f}, {ceilings[1]:.2f} | "
            f"{float(np.median(one / other)):.2f} |"
        )
    return lines


def draw(machines: Mapping[str, Results], path: Path) -> None:
    widest = max(len(results) for results in machines.values())
    figure, all_axes = plt.subplots(
        1, len(machines), figsize=(len(machines) * (1.6 + 0.75 * widest), 1.4 + 0.7 * widest)
    )
    for axes, (machine, results) in zip(np.atleast_1d(all_axes), machines.items(), strict=True):
        found, ways = agreement(results), list(results)
        axes.imshow(found, vmin=0.4, vmax=1.0, cmap="viridis")
        for i, row in enumerate(found):
            for j, value in enumerate(row):
                colour = "white" if value < 0.85 else "black"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=8)
        axes.set_xticks(range(len(ways)), ways, rotation=45, ha="right")
        axes.set_yticks(range(len(ways)), ways)
        axes.set_title(f"{machine}: Kendall's tau of networks' times\nabove: measured; below: by the tables", size=10)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    made: dict[str, Results] = {
        path.stem.removeprefix("results-"): json.loads(path.read_text()) for path in sorted(HERE.glob("results-*.json"))
    }
    parts = [
        part for name, found in made.items() for part in (f"**{name}**", "", *proofs(found), "", *matrix(found), "")
    ]
    pairs = [line for a, b in combinations(made, 2) for line in (*across({a: made[a], b: made[b]}), "")]
    fill(HERE / "README.md", "\n".join([*parts, *pairs]).rstrip())
    draw(made, HERE / "agreement.png")
