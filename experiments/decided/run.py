"""Networks of searches that have decided, of undecided ones and random ones at equal latency (see README.md)."""

from __future__ import annotations

import functools
from itertools import combinations
from pathlib import Path

import numpy as np

from experiments import equal_latency, records
from experiments.collecting import collect_or_report
from search_spaces import LayerwiseSpace
from search_spaces.families.fbnet import fbnet

FORMER = {  # the card's before searches ended by deciding
    "epochs": 5,
    "warmup_epochs": 2,
    "temperature_decay": 0.5,
    "temperature_floor": 0.1,
    "negligible": 0.0,
    **equal_latency.UNDECIDED,
}
METHODS = {"decided": ("dnas", {}), "undecided": ("dnas", FORMER)}


def space() -> LayerwiseSpace:
    return fbnet(equal_latency.RESOLUTION, 10, 1, width=0.5)


SETTING = equal_latency.Setting(space, METHODS, random_networks=4)


def report(file: Path) -> None:
    """Accuracies, what a decision is worth seed by seed, and how far networks of different seeds agree."""
    equal_latency.report(SETTING, file)
    found = records.read(file)
    searches = [record for record in found if record["kind"] == "search"]
    top1 = {
        (record["name"], record["seed"]): record["top1_percent"] for record in found if record["kind"] == "training"
    }
    both = sorted({seed for _, seed in top1 if all((name, seed) in top1 for name in METHODS)})
    if len(both) > 1:
        gains = [top1["decided", seed] - top1["undecided", seed] for seed in both]
        mean, half = equal_latency.mean_interval(gains)
        print(f"decided minus undecided: {mean:+.2f} ± {half:.2f} points over {len(both)} seeds")
    print("\n| searches | seeds | epochs | mean top probability | of the choices taken | agreement of seeds, % | s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in METHODS:
        mine = [record for record in searches if record["method"] == name]
        if mine:
            tops, taken, seconds, epochs = (
                [record[key] for record in mine]
                for key in ("mean_top_probability", "mean_taken_probability", "search_seconds", "epochs")
            )
            shared = agreement([record["at the limit"]["genotype"] for record in mine])
            print(
                f"| {name} | {len(mine)} | {min(epochs)} to {max(epochs)} | {np.mean(tops):.2f} ({min(tops):.2f} to "
                f"{max(tops):.2f}) | {np.mean(taken):.2f} | {shared:.0f} | {np.mean(seconds):.0f} |"
            )
    drawn = [genotype for record in searches if record["method"] == "decided" for genotype in record["random"]]
    if drawn:
        print(f"| random draws | {len(drawn)} networks | | | | {agreement(drawn):.0f} | |")


def agreement(genotypes: list[list[int]]) -> float:
    """Percent of the positions at which two of `genotypes` agree, the mean over all pairs; nan of fewer than two."""
    shares = [np.mean(np.array(a) == np.array(b)) for a, b in combinations(genotypes, 2)]
    return 100 * float(np.mean(shares)) if shares else float("nan")


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/decided",
        functools.partial(equal_latency.collect, SETTING),
        report,
        processes=(2, "single-threaded worker processes"),
        seeds=(5, "searches of either kind, each with its random networks"),
    )
