"""How long must candidates train to rank like full trainings? (see README.md)"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from experiments import records
from experiments.collecting import collect_or_report
from experiments.ranking import tau_with_interval
from experiments.wins.setting import Setting
from nas.runs.files import read_json
from nas.train import training
from nas.train.accelerator import make_accelerator
from predictors.metrics import kendall_tau
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

HELD_OUT = 0.2  # of the training images: they score candidates, as a search holds them out
FULL_SEEDS = (1, 2)  # of two full trainings: what one says of the other is the ceiling
Record = dict[str, Any]


def chosen(run: Path, setting: Setting, count: int) -> list[Arch]:
    """`count` of the candidates that the search in `run` trained, evenly over their ranks by its scores."""
    trials = [t for t in read_json(run / "trials.json", "trials") if t["validation_top1_percent"] is not None]
    ranked = sorted(trials, key=lambda t: -float(t["validation_top1_percent"]))
    space = setting.space()
    at = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
    return [space.decode(ranked[i]["genotype"]) for i in at]


def trained(setting: Setting, root: str, arch: Arch, epochs: int, seed: int) -> Record:
    """`arch` trained for `epochs` with a schedule of that length, on what is not held out; scored on the held-out
    images, and tested on all test images."""
    data = setting.data(root)
    part = data.held_out(1 - HELD_OUT, 0)
    recipe: Recipe = dataclasses.replace(setting.recipe, epochs=epochs)
    began = time.process_time()
    network = training.build_network(arch, recipe, seed=seed)
    scored = training.train(network, part, recipe, seed=seed, accelerator=make_accelerator("cpu"))
    seconds = time.process_time() - began
    tested = training.evaluate(network, data.test)
    figures = {"validation": scored["top1_percent"], "validation_loss": scored["loss"], "test": tested["top1_percent"]}
    return {"epochs": epochs, "seed": seed, "macs": arch.macs, **figures, "processor_seconds": seconds}


def collect(data: str, out: Path, run: str, networks: int, images: int, epochs: str) -> None:
    """Train what is missing: network after network, so that a part of them is a smaller experiment."""
    setting = Setting(images=images)
    full, file = setting.recipe.epochs, out / "results.jsonl"
    asked = [(int(e), 0) for e in epochs.split(",")] + [(full, seed) for seed in FULL_SEEDS]
    found = records.finished(file)
    done = {(r["arch"], r["epochs"], r["seed"]) for r in found}
    for arch in chosen(Path(run), setting, networks):
        for length, seed in asked:
            if (arch.id, length, seed) not in done:
                found.append({"arch": arch.id, **trained(setting, data, arch, length, seed)})
                records.write(file, found)
                print(json.dumps(found[-1]), flush=True)


def report(file: Path) -> None:
    """Kendall's tau of the scores after so many epochs with the test accuracy of full trainings, and what it costs."""
    found = records.read(file)
    full = max(r["epochs"] for r in found)
    names = [n for n in dict.fromkeys(r["arch"] for r in found) if all(_of(found, n, full, s) for s in FULL_SEEDS)]
    truth = [fmean(_of(found, name, full, seed)[0]["test"] for seed in FULL_SEEDS) for name in names]
    print(f"{len(names)} networks, {min(truth):.2f} to {max(truth):.2f}% (full trainings, mean of two seeds)\n")
    print("| epochs | share of the cost | tau of accuracy | tau of loss | what its best has below the best, points |")
    print("| --- | --- | --- | --- | --- |")
    for length in sorted({r["epochs"] for r in found}):
        mine = [_of(found, name, length, 0) for name in names]
        if not all(mine):
            continue
        rows = [rows[0] for rows in mine]
        scores, losses = [r["validation"] for r in rows], [-r["validation_loss"] for r in rows]
        taus = [tau_with_interval(values, truth) for values in (scores, losses)]
        behind = max(truth) - truth[int(np.argmax(scores))]
        print(f"| {length} | {length / full:.2f} | {taus[0]} | {taus[1]} | {behind:.2f} |")
    between = [
        kendall_tau(*(np.array([_of(found, n, full, s)[0]["test"] for n in names]) for s in pair))
        for pair in combinations(FULL_SEEDS, 2)
    ]
    print(f"\nOne full training with the other: tau {fmean(between):.2f}")


def _of(found: Sequence[Record], arch: str, epochs: int, seed: int) -> list[Record]:
    return [r for r in found if (r["arch"], r["epochs"], r["seed"]) == (arch, epochs, seed)]


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/candidate_epochs",
        collect,
        report,
        run=("runs/wins/search-0.06-0", "a finished search of space=mobile whose candidates are trained"),
        networks=(16, "of its candidates, evenly over their ranks"),
        images=(10_000, "training images; 0: all"),
        epochs=("2,5,10", "lengths of a candidate's training, each with its own schedule"),
    )
