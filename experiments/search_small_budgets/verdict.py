"""Is the default at least level with the best rival everywhere, and ahead of it at half of the cells?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import records
from experiments.compare.report import interval

DEFAULT = "predictor, expected improvement after 6"
RIVALS = ("random", "regularized evolution", "tpe", "tpe with constraints", "Optuna's Gaussian process", "SMAC3")
LEAST_SEEDS = 10  # fewer decide nothing


class Cell(NamedTuple):
    """The default against the rival of least mean regret, on a problem after so many evaluations, paired by seed."""

    problem: str
    evaluations: int
    rival: str
    seeds: int
    mean: float  # regret of the default less the rival's, and the 95% bootstrap interval of that
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.high < 0:
            return "ahead"
        return "behind" if self.low > 0 else "level"


def cells(found: Sequence[records.Record]) -> list[Cell]:
    """Of every problem and count that the default and a rival have `LEAST_SEEDS` seeds of."""
    regrets: dict[tuple[str, int, str], dict[int, float]] = {}
    for r in found:
        for count, regret in zip(r["evaluations"], r["regret"], strict=True):
            regrets.setdefault((r["problem"], count, r["method"]), {})[r["seed"]] = regret
    result = []
    for problem, count in dict.fromkeys((problem, count) for problem, count, _ in regrets):
        ours = regrets.get((problem, count, DEFAULT), {})
        theirs = {rival: regrets.get((problem, count, rival), {}) for rival in RIVALS}
        known = {rival: of for rival, of in theirs.items() if len(of.keys() & ours.keys()) >= LEAST_SEEDS}
        if not known:
            continue
        best = min(known, key=lambda rival: np.mean(list(known[rival].values())))
        seeds = sorted(known[best].keys() & ours.keys())
        result.append(Cell(problem, count, best, len(seeds), *interval([ours[s] - known[best][s] for s in seeds])))
    return result


def report(file: Path) -> None:
    """A line a cell, and how many there are of each verdict after so many evaluations."""
    made = cells(records.read(file))
    print("| problem | after | best rival | seeds | default less it | |\n| --- | --- | --- | --- | --- | --- |")
    for c in made:
        gap = f"{c.mean:+.3f} [{c.low:+.3f}, {c.high:+.3f}]"
        print(f"| {c.problem} | {c.evaluations} | {c.rival} | {c.seeds} | {gap} | {c.verdict} |")
    for count in sorted({c.evaluations for c in made}):
        of = [c.verdict for c in made if c.evaluations == count]
        said = ", ".join(f"{verdict} {of.count(verdict)}" for verdict in ("ahead", "level", "behind"))
        print(f"after {count}, of {len(of)}: {said}")


if __name__ == "__main__":
    report(Path(__file__).with_name("results.jsonl"))
