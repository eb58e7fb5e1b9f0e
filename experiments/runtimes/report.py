"""Fill the tables of README.md from results.json, and draw how far the rankings of runtimes agree."""

from __future__ import annotations

import json
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


def draw(results: Results, path: Path) -> None:
    found, ways = agreement(results), list(results)
    figure, axes = plt.subplots(figsize=(1.6 + 0.75 * len(ways), 1.2 + 0.7 * len(ways)))
    shown = axes.imshow(found, vmin=min(0.5, float(found.min())), vmax=1.0, cmap="viridis")
    for i, row in enumerate(found):
        for j, value in enumerate(row):
            colour = "white" if value < 0.85 else "black"
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=8)
    axes.set_xticks(range(len(ways)), ways, rotation=45, ha="right")
    axes.set_yticks(range(len(ways)), ways)
    axes.set_title("Kendall's tau of networks' times\nabove: measured; below: by the tables", size=10)
    figure.colorbar(shown, shrink=0.8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    made: Results = json.loads((HERE / "results.json").read_text())
    fill(HERE / "README.md", "\n".join([*proofs(made), "", *matrix(made)]))
    draw(made, HERE / "agreement.png")
