"""Fill the tables of README.md from results.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from experiments.figures import fill

HERE = Path(__file__).parent


def cell(figures: dict[str, float]) -> str:
    return f"{figures['r2']:.4f} / {figures['spearman']:.3f} / {figures['mape_percent']:.2f}"


def table(settings: dict[str, dict]) -> str:
    lines = [
        "R2 / Spearman / MAPE in percent on rows 4,000 to 4,999.",
        "",
        "| setting | measured | 4,000 networks | 400 | 100 | least squares, 4,000 | stated R2 | splits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, record in settings.items():
        split = record["r2_on_random_splits"]["least_squares"]
        stated = record["stated_r2"]
        cells = [
            name,
            "yes" if record["measured"] else "no, a sum",
            *(cell(record[f"table_{count}"]) for count in (4000, 400, 100)),
            cell(record["least_squares_4000"]),
            "" if stated is None else f"{stated:g}",
            f"{split['min']:.3f} to {split['max']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def facts(settings: dict[str, dict]) -> list[str]:
    """What the figures say, in numbers."""
    measured = [r for r in settings.values() if r["measured"]]
    difference = {name: r["table_4000"]["r2"] - r["least_squares_4000"]["r2"] for name, r in settings.items()}
    gains = [float(np.mean(next(v for k, v in r["r2_on_random_splits"].items() if k.startswith("gain"))))
             for r in settings.values()]  # fmt: skip
    stated = {name: r for name, r in settings.items() if r["stated_r2"] is not None}
    digits = 5e-4  # the stated figures are rounded
    below = {
        kind: [name for name, r in stated.items() if r[f"{kind}_4000"]["r2"] < r["stated_r2"] - digits]
        for kind in ("table", "least_squares")
    }
    inside = sum(
        r["r2_on_random_splits"]["least_squares"]["min"] - digits
        <= r["stated_r2"]
        <= r["r2_on_random_splits"]["least_squares"]["max"] + digits
        for r in stated.values()
    )
    medians = [np.median([r[f"{kind}_100"]["r2"] for r in measured]) for kind in ("table", "least_squares")]
    return [
        f"- R2 above 0.9 at 4,000 networks on {sum(r['table_4000']['r2'] > 0.9 for r in measured)} of the "
        f"{len(measured)} measured settings.",
        f"- Median R2 at 100 networks, measured settings: table {medians[0]:.2f}, least squares {medians[1]:.2f}.",
        f"- Table minus least squares at 4,000 networks, rows 4,000 on: smallest {min(difference.values()):+.4f} "
        f"({min(difference, key=lambda name: difference[name])}), largest {max(difference.values()):+.4f} "
        f"({max(difference, key=lambda name: difference[name])}).",
        f"- The same on four random splits, mean per setting: {min(gains):+.4f} to {max(gains):+.4f}.",
        f"- Stated R2 not reached on rows 4,000 on: by least squares on {len(below['least_squares'])} of {len(stated)} "
        f"settings ({', '.join(below['least_squares'])}), by the table on {len(below['table'])} "
        f"({', '.join(below['table'])}).",
        f"- Stated R2 within what least squares spans on 20 random splits: {inside} of {len(stated)} settings.",
    ]


if __name__ == "__main__":
    settings = json.loads((HERE / "results.json").read_text())["settings"]
    fill(HERE / "README.md", "\n".join([table(settings), "", *facts(settings)]))
