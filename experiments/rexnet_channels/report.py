"""The figures and the picture of `run.py`'s results: families, deciles, and the factorial."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np
from scipy import stats

from experiments import records
from experiments.rexnet_channels.configurations import FAMILIES, POSITIONS
from nas.runs.files import write_json
from nas.runs.seeding import numpy_generator

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
DECILES = {"best": (0.9, 1.0), "middle": (0.45, 0.55), "worst": (0.0, 0.1)}


def interval(values: np.ndarray, draws: int = 2000) -> list[float]:
    """95% bootstrap interval of the mean."""
    means = numpy_generator(0, "bootstrap").choice(values, (draws, len(values))).mean(axis=1)
    return np.percentile(means, [2.5, 97.5]).tolist()


def straightness(channels: np.ndarray) -> np.ndarray:
    """R2 of the straight line fitted to each row of `channels` (n, blocks)."""
    return np.array([np.corrcoef(POSITIONS, row)[0, 1] ** 2 for row in channels])


def curve_figures(rows: list[dict]) -> dict:
    """Accuracy per family, and what in the curve goes with accuracy over all of them."""
    top1 = np.array([row["top1_percent"] for row in rows])
    channels = np.array([row["channels"] for row in rows], dtype=float)
    families = np.array([row["family"] for row in rows])
    growth = channels[:, -1] / channels[:, 0]
    return {
        "networks": len(rows),
        "families": {
            name: {
                "count": int((families == name).sum()),
                "mean_top1_percent": float(top1[families == name].mean()),
                "interval": interval(top1[families == name]),
                "best_top1_percent": float(top1[families == name].max()),
            }
            for name in FAMILIES
            if (families == name).any()
        },
        "spearman_straightness": list(map(float, stats.spearmanr(straightness(channels), top1))),
        "spearman_growth": list(map(float, stats.spearmanr(growth, top1))),
    }


def factorial_figures(rows: list[dict]) -> dict:
    """Main effects in percent points: the mean over everything else of one level less the other, with its error."""
    effects = {}
    for key, (high, low) in {
        "family": ("line", "steps"),
        "squeeze": ("late", "none"),
        "act": ("rexnet", "relu6"),
    }.items():
        others = [k for k in ("family", "squeeze", "act", "seed") if k != key]
        table = {(row[key], *(row[k] for k in others)): row["top1_percent"] for row in rows}
        pairs = [
            table[high, *rest] - table[low, *rest] for value, *rest in table if value == high and (low, *rest) in table
        ]
        if len(pairs) > 1:
            effects[f"{key}: {high} less {low}"] = {
                "mean_points": float(np.mean(pairs)),
                "standard_error": float(np.std(pairs, ddof=1) / len(pairs) ** 0.5),
                "pairs": len(pairs),
            }
    cells: dict[tuple, list[float]] = {}
    for row in rows:
        cells.setdefault((row["family"], row["squeeze"], row["act"]), []).append(row["top1_percent"])
    spread = [float(np.std(values, ddof=1)) for values in cells.values() if len(values) > 1]
    return {"effects": effects, "seed_deviation_points": float(np.mean(spread)) if spread else None}


def draw(rows: list[dict], path: Path) -> None:
    """Channel curves of the best, middle and worst tenth of all curves."""
    ranked = sorted(rows, key=lambda row: row["top1_percent"])
    figure, axes = plt.subplots(1, len(DECILES), figsize=(12, 3.6), sharey=True)
    for axis, (name, (low, high)) in zip(axes, DECILES.items(), strict=True):
        chosen = ranked[int(low * len(ranked)) : max(int(high * len(ranked)), int(low * len(ranked)) + 1)]
        for row in chosen:
            axis.plot(row["channels"], color=f"C{FAMILIES.index(row['family'])}", alpha=0.6)
        mean = np.mean([row["channels"] for row in chosen], axis=0)
        axis.plot(mean, color="black", linewidth=2)
        axis.set_title(f"{name} tenth: {np.mean([row['top1_percent'] for row in chosen]):.2f}%")
        axis.set_xlabel("block")
    axes[0].set_ylabel("channels")
    handles = [plt.Line2D([], [], color=f"C{i}", label=name) for i, name in enumerate(FAMILIES)]
    axes[0].legend(handles=[*handles, plt.Line2D([], [], color="black", label="mean")], fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    options = parser.parse_args()
    rows = records.read(options.results)
    curves = [row for row in rows if row["part"] == "curves"]
    summary = {"curves": curve_figures(curves)}
    if crossed := [row for row in rows if row["part"] == "factorial"]:
        summary["factorial"] = factorial_figures(crossed)
    write_json(options.results.with_name("summary.json"), summary)
    draw(curves, options.results.with_name("curves.png"))
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
