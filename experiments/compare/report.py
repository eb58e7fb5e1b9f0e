"""Results with intervals as a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nas.runs.files import write_text

Record = dict[str, Any]
KEYS = ("top1_percent", "regret_points")


def interval(values: list[float], draws: int = 10_000) -> tuple[float, float, float]:
    """Mean, and the 95% bootstrap interval of the mean."""
    drawn = np.random.default_rng(0).choice(values, size=(draws, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def report(records: list[Record], out: Path) -> None:
    """Print and write `table.md`, and draw `best_so_far.png`, for every space in `records`."""
    spaces = list(dict.fromkeys(record["space"] for record in records))
    text = "\n\n".join(table(space, [r for r in records if r["space"] == space]) for space in spaces)
    write_text(out / "table.md", text + "\n")
    print(text)
    plot(records, spaces, out / "best_so_far.png")


def table(space: str, records: list[Record]) -> str:
    """One row a method: mean and interval of each final figure over seeds, best first."""
    figures = [key for key in records[0] if key.startswith(KEYS)]
    methods = list(dict.fromkeys(record["method"] for record in records))
    rows = []
    for method in methods:
        mine = [record for record in records if record["method"] == method]
        cells = []
        for key in figures:
            mean, low, high = interval([record[key] for record in mine])
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        spent = np.mean([record["trainings"] for record in mine])
        order = np.mean([record[figures[0]] for record in mine])
        rows.append((order, f"| {method} | {len(mine)} | {spent:.0f} | {' | '.join(cells)} |"))
    names = " | ".join(key.replace("_", " ") for key in figures)
    head = [f"| {space} | seeds | trainings | {names} |", "|" + " --- |" * (3 + len(figures))]
    return "\n".join([*head, *(row for _, row in sorted(rows, reverse=True))])


def plot(records: list[Record], spaces: list[str], path: Path) -> None:
    """Mean best score so far over trainings, with 95% intervals; one panel a space."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(spaces), figsize=(5.5 * len(spaces), 4), squeeze=False)
    for axis, space in zip(axes[0], spaces, strict=True):
        mine = [record for record in records if record["space"] == space and record.get("best_so_far")]
        for method in dict.fromkeys(record["method"] for record in mine):
            curves = [record["best_so_far"] for record in mine if record["method"] == method]
            marks = sorted(set.intersection(*(set(curve) for curve in curves)), key=int)
            if not marks:
                continue
            points = np.array([interval([curve[mark] for curve in curves]) for mark in marks])
            steps = [int(mark) for mark in marks]
            axis.plot(steps, points[:, 0], marker="o", markersize=3, label=method)
            axis.fill_between(steps, points[:, 1], points[:, 2], alpha=0.15)
        axis.set(title=space, xlabel="candidates trained", ylabel="best score so far, top-1 %", xscale="log")
        axis.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
