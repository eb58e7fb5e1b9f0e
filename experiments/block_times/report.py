"""The tables and the picture of `results.jsonl`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from nas.runs.files import write_atomic

HERE = Path(__file__).parent
SETTING = ("runtime", "dtype", "threads", "resolution")
DENSE = "conv 3x3"


def crossings(rows: list[dict[str, Any]]) -> str:
    """By map size: how often a block's time goes into a dense convolution's at equal channels, over the widths.

    And up to which width the dense one is no slower.
    """
    others = [name for name in dict.fromkeys(row["block"] for row in rows) if name != DENSE]
    lines = ["| map | " + " | ".join(f"conv 3x3 is no slower than {name} up to" for name in others) + " |"]
    lines.append("| --- |" + " --- |" * len(others))
    for side in sorted({row["side"] for row in rows}, reverse=True):
        at = {(row["block"], row["channels"]): row["us"] for row in rows if row["side"] == side}
        cells = []
        for name in others:
            widths = [c for block, c in at if block == name and (DENSE, c) in at]
            within = [c for c in widths if at[DENSE, c] <= at[name, c]]
            # the last width below which all are within
            reached = [c for c in widths if all(w in within for w in widths if w <= c)]
            more = (
                "" if len(within) == len(reached) else f" (and at {', '.join(str(c) for c in within[len(reached) :])})"
            )
            every = " (all)" if reached and len(reached) == len(widths) else ""
            cells.append(f"{reached[-1]}{every}{more} channels" if reached else f"none{more}")
        lines.append(f"| {side} x {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def per_mac(rows: list[dict[str, Any]]) -> str:
    """Nanoseconds per 1,000 multiply-adds by block and map: median over widths, narrowest and widest."""
    names = list(dict.fromkeys(row["block"] for row in rows))
    lines = ["| map | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for side in sorted({row["side"] for row in rows}, reverse=True):
        cells = []
        for name in names:
            mine = [1e6 * row["us"] / row["macs"] for row in rows if (row["side"], row["block"]) == (side, name)]
            cells.append(f"{np.median(mine):.0f} ({mine[0]:.0f} narrowest, {mine[-1]:.0f} widest)")
        lines.append(f"| {side} x {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def equal_macs(rows: list[dict[str, Any]]) -> str:
    """By map size: a block's time over that of a dense convolution of as many multiply-adds (log-log interpolation)."""
    names = [name for name in dict.fromkeys(row["block"] for row in rows) if name != DENSE]
    lines = ["| map | " + " | ".join(f"{name} / conv 3x3" for name in names) + " |", "| --- |" + " --- |" * len(names)]
    for side in sorted({row["side"] for row in rows}, reverse=True):
        dense = sorted((r["macs"], r["us"]) for r in rows if (r["side"], r["block"]) == (side, DENSE))
        low, high = dense[0][0], dense[-1][0]
        cells = []
        for name in names:
            ratios = []
            for r in rows:
                if (r["side"], r["block"]) == (side, name) and low <= r["macs"] <= high:
                    at = np.exp(np.interp(np.log(r["macs"]), *np.log(np.array(dense).T)))
                    ratios.append(r["us"] / float(at))
            cells.append(f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-")
        lines.append(f"| {side} x {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(rows: list[dict[str, Any]], path: Path) -> Path:
    """Microseconds against multiply-adds, a panel for each map size."""
    from matplotlib.figure import Figure

    sides = sorted({row["side"] for row in rows}, reverse=True)
    figure = Figure(figsize=(3.1 * len(sides), 3.4), layout="constrained")
    panels = figure.subplots(1, len(sides), sharey=True, squeeze=False)[0]
    for axes, side in zip(panels, sides, strict=True):
        for name in dict.fromkeys(row["block"] for row in rows):
            mine = [row for row in rows if (row["side"], row["block"]) == (side, name)]
            axes.plot([r["macs"] / 1e6 for r in mine], [r["us"] for r in mine], "o-", markersize=3, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(f"maps of {side} x {side}", fontsize=10)
        axes.set_xlabel("multiply-adds of a block, M")
        axes.grid(alpha=0.3, which="major")
    panels[0].set_ylabel("microseconds a block")
    panels[0].legend(fontsize=8)
    return write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--picture", type=Path, help="write the picture of ONNX Runtime at 32 pixels there")
    options = parser.parse_args()
    rows = records.read(options.results)
    settings = list(dict.fromkeys(tuple(row[key] for key in SETTING) for row in rows))
    for setting in settings:
        mine = [row for row in rows if tuple(row[key] for key in SETTING) == setting]
        print("\n{}, {}, {} thread(s), images of {} pixels\n".format(*setting))
        print(crossings(mine), equal_macs(mine), per_mac(mine), sep="\n\n")
    if options.picture:
        picture([row for row in rows if tuple(row[key] for key in SETTING) == settings[0]], options.picture)


if __name__ == "__main__":
    main()
