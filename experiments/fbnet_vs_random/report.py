"""Table and intervals from `results.jsonl`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).parent


def mean_interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of its 95% t-interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(half)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    records: list[dict[str, Any]] = [json.loads(line) for line in parser.parse_args().results.read_text().splitlines()]
    runs = [record for record in records if record["kind"] == "training"]
    names = list(dict.fromkeys(record["name"] for record in runs))
    print("| networks | trainings | measured ms | MACs (M) | top-1 %, mean and 95% interval | best | worst |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in names:
        mine = [record for record in runs if record["name"] == name]
        top1 = [record["top1_percent"] for record in mine]
        mean, half = mean_interval(top1)
        ms, macs = (np.mean([record[key] for record in mine]) for key in ("measured_ms", "macs"))
        print(
            f"| {name} | {len(mine)} | {ms:.3f} | {macs / 1e6:.2f} | {mean:.2f} ± {half:.2f} "
            f"| {max(top1):.2f} | {min(top1):.2f} |"
        )
    differences = []
    for seed in sorted({record["seed"] for record in runs}):
        searched = [r["top1_percent"] for r in runs if r["name"] == "searched" and r["seed"] == seed]
        random = [r["top1_percent"] for r in runs if r["name"] == "random" and r["seed"] == seed]
        differences.append(searched[0] - float(np.mean(random)))
        beaten = sum(value < searched[0] for value in random)
        rank = f"beats {beaten} of {len(random)}"
        print(f"seed {seed}: searched {searched[0]:.2f}, random mean {np.mean(random):.2f}; {rank}")
    mean, half = mean_interval(differences)
    over = f"95% t-interval, {len(differences)} seeds"
    print(f"searched minus random mean, per seed: {mean:+.2f} ± {half:.2f} points ({over})")


if __name__ == "__main__":
    main()
