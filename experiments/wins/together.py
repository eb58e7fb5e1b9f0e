"""All searches so far, of every processor and version of the program: `python -m experiments.wins.together`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from experiments import records
from experiments.equal_latency import mean_interval
from experiments.wins.report import NEAR, AtBudget, at_each_budget
from experiments.wins.rivals import FOUND, RANDOM

HERE = Path(__file__).parent


def at_budgets() -> Iterator[tuple[str, AtBudget]]:
    """Every budget of every file, with the data set and the number of images that it is of."""
    for file in sorted(HERE.glob("results-*.jsonl")):
        found = records.read(file)
        (setting,) = (r for r in found if r["kind"] == "setting")
        images = f"{setting['images']:,}" if setting["images"] else "all"
        for at in at_each_budget(found):
            yield f"{setting['dataset']}, {images} images, budget {at.budget}", at


def text() -> str:
    """By data set, images and budget: what found networks have more than each other, a mean over searches."""
    gained: dict[str, dict[str, list[float]]] = {}
    for where, at in at_budgets():
        found = at.top1(FOUND)
        for name in (*at.hand_made, RANDOM):
            if at.slower(name) <= NEAR:
                mine = gained.setdefault(where, {}).setdefault(name, [])
                mine += [found[seed] - other for seed, other in at.top1(name).items() if seed in found]
    lines = [
        "| | found less | searches | points, 95% interval | above in |",
        "| --- | --- | --- | --- | --- |",
    ]
    for where, others in gained.items():
        for name, points in others.items():
            if len(points) > 1:
                mean, half = mean_interval(points)
                above = sum(one > 0 for one in points)
                lines.append(f"| {where} | {name} | {len(points)} | {mean:+.2f} ± {half:.2f} | {above} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text())
