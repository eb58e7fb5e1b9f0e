"""Writes the figures of results files into a README, between its markers: tau and regret with intervals over seeds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures import fill
from predictors.metrics import over_seeds

HERE = Path(__file__).parent


def table(results: dict[str, Any], measure: str, digits: int) -> str:
    """One row a contestant: mean [95% interval], deviation over training sets, per training size."""
    sizes = sorted({int(n) for record in results["contestants"].values() for n in record["sizes"]})
    rows = ["| predictor | " + " | ".join(str(n) for n in sizes) + " |", "| --- |" + " --- |" * len(sizes)]
    for name, record in results["contestants"].items():
        cells = []
        for size in sizes:
            i = over_seeds(np.array(record["sizes"][str(size)][measure]))
            cells.append(f"{i.mean:.{digits}f} [{i.low:.{digits}f}, {i.high:.{digits}f}] ±{i.std:.{digits}f}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def facts(results: dict[str, Any], against: str) -> list[str]:
    """What bounds the figures, and paired differences to the contestant `against`."""
    alone = sorted(results["alone_tau"].items(), key=lambda item: -abs(item[1]))
    lines = ["- Free statistics alone, tau: " + ", ".join(f"{name} {tau:.3f}" for name, tau in alone) + "."]
    if results["ceiling_tau"]:
        ceiling = ", ".join(f"{name} {tau:.3f}" for name, tau in results["ceiling_tau"].items())
        lines.append(f"- Training seeds agree on the ranking with tau: {ceiling}.")
    contestants = results["contestants"]
    if against in contestants and "blend" in contestants:
        pairs = []
        for size, run in contestants["blend"]["sizes"].items():
            i = over_seeds(np.array(run["tau"]) - np.array(contestants[against]["sizes"][size]["tau"]))
            pairs.append(f"{size}: {i.mean:+.3f} [{i.low:+.3f}, {i.high:+.3f}]")
        lines.append(f"- Blend minus {against}, tau, same training sets: " + "; ".join(pairs) + ".")
    weights = contestants.get("blend", {}).get("sizes", {})
    if weights:
        shown = [f"{n}: {' '.join(f'{w:.2f}' for w in np.mean(run['weights'], axis=0))}" for n, run in weights.items()]
        lines.append("- Mean weights of process, forest, fbnetv3 in the blend: " + "; ".join(shown) + ".")
    return lines


def body(paths: list[Path]) -> str:
    """The figures of every results file, as markdown."""
    parts = []
    for path in paths:
        results = json.loads(path.read_text())
        unseen = f"{results['candidates']:,} candidates, tau on all that are not in the training set"
        parts += [f"### {results['table']}", f"{unseen}; {results['seeds']} training sets per size."]
        parts += ["Kendall's tau: mean [95% bootstrap interval] ±deviation.", table(results, "tau", 3)]
        parts += ["Regret of the ten predicted best, in the targets' unit.", table(results, "regret", 2)]
        parts.append("\n".join(facts(results, "random forest")))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=HERE, help="of the README and its results-*.json")
    folder = parser.parse_args().folder
    fill(folder / "README.md", body(sorted(folder.glob("results-*.json"))))


if __name__ == "__main__":
    main()
