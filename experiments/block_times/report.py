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
    """Time over a dense convolution's: above at equal multiply-adds, below at equal channels; a column for each map."""
    from matplotlib.figure import Figure

    sides = sorted({row["side"] for row in rows}, reverse=True)
    figure = Figure(figsize=(3.1 * len(sides), 6), layout="constrained")
    panels = figure.subplots(2, len(sides), sharey="row", squeeze=False)
    for column, side in enumerate(sides):
        mine = [row for row in rows if row["side"] == side]
        dense = sorted((row["macs"], row["us"], row["channels"]) for row in mine if row["block"] == DENSE)
        macs, us, channels = (np.array(values, dtype=float) for values in zip(*dense, strict=True))
        above, below = panels[:, column]
        for name in dict.fromkeys(row["block"] for row in rows if row["block"] != DENSE):
            block = [row for row in mine if row["block"] == name]
            equal = [row for row in block if macs[0] <= row["macs"] <= macs[-1]]
            at = np.exp(np.interp(np.log([row["macs"] for row in equal]), np.log(macs), np.log(us)))
            ratios = np.array([row["us"] for row in equal]) / at
            above.plot([row["macs"] / 1e6 for row in equal], ratios, "o-", markersize=3, label=name)
            known = [(row["channels"], row["us"]) for row in block if row["channels"] in channels]
            by_channels = dict(zip(channels, us, strict=True))
            below.plot([c for c, _ in known], [time / by_channels[c] for c, time in known], "o-", markersize=3)
        above.set_title(f"maps of {side} x {side}", fontsize=10)
        above.set_xlabel("multiply-adds of a block, M")
        below.set_xlabel("channels")
        below.set_yscale("log")
        below.set_yticks([0.125, 0.25, 0.5, 1, 2, 4], ["1/8", "1/4", "1/2", "1", "2", "4"])
        for axes in (above, below):
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.axhline(1, color="0.4", linewidth=1)
            axes.grid(alpha=0.3)
        shown = [c for c in (8, 16, 32, 64, 128, 256) if c <= channels[-1]]
        below.set_xticks(shown, [str(c) for c in shown])
    panels[0, 0].set_ylabel("time over conv 3x3,\nequal multiply-adds")
    panels[1, 0].set_ylabel("time over conv 3x3,\nequal channels")
    panels[0, -1].legend(fontsize=8)
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
