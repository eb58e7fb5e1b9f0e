"""Which setting of the predictor search wins on problems that had no part in choosing it, each left out in turn."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments import records
from experiments.search_small_budgets.run import HERE
from search_spaces.pricing.additive import Floats

YARDSTICK = "random"
DRAWS = 2000


def shares(found: Sequence[records.Record], settings: Sequence[str], place: int) -> dict[str, Floats]:
    """By problem, the regret (seeds, settings) as a share of the mean regret of random search on it.

    Seeds that every setting has; `place`: which of the counts of evaluations.
    """
    regrets = {(r["problem"], r["method"], r["seed"]): r["regret"][place] for r in found}
    result = {}
    for problem in dict.fromkeys(r["problem"] for r in found):
        of = [value for (p, method, _), value in regrets.items() if (p, method) == (problem, YARDSTICK)]
        seeds = sorted({s for p, _, s in regrets if p == problem})
        common = [s for s in seeds if all((problem, setting, s) in regrets for setting in settings)]
        if of and common:
            rows = [[regrets[problem, setting, s] for setting in settings] for s in common]
            result[problem] = np.array(rows) / np.mean(of)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "settings", nargs="+", help="names of methods in methods.py; the first is compared with the others"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    options = parser.parse_args()
    if len(options.settings) < 2:
        parser.error("settings: give two or more")
    found = records.read(options.results)
    for place, count in ((0, 20), (1, 50)):
        by_problem = shares(found, options.settings, place)
        means = np.array([rows.mean(axis=0) for rows in by_problem.values()])
        print(f"\nafter {count}: seeds a problem {[len(rows) for rows in by_problem.values()]}")
        for setting, mean in zip(options.settings, means.mean(axis=0), strict=True):
            print(f"  {setting}: {mean:.3f} of random search's regret")
        rng = np.random.default_rng(0)
        drawn = [
            np.mean(
                [rows[rng.integers(len(rows), size=len(rows))].mean(axis=0) for rows in by_problem.values()], axis=0
            )
            for _ in range(DRAWS)
        ]
        for i, other in enumerate(options.settings[1:], 1):
            low, high = np.quantile([d[0] - d[i] for d in drawn], [0.025, 0.975])
            gaps = means[:, 0] - means[:, i]
            print(
                f"  {options.settings[0]} minus {other}: {gaps.mean():+.3f} [{low:+.3f}, {high:+.3f}], "
                f"lower on {(gaps < 0).sum()}, higher on {(gaps > 0).sum()} of {len(gaps)}"
            )
        for i, problem in enumerate(by_problem):
            chosen = int(np.delete(means, i, axis=0).mean(axis=0).argmin())
            rank = int((means[i] < means[i, chosen]).sum()) + 1
            print(f"  without {problem}: {options.settings[chosen]}, there {rank}. of {len(options.settings)}")


if __name__ == "__main__":
    main()
