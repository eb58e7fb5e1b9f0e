"""Candidate trainings in full against trainings stopped where ranks agree, at equal trainings (see README.md)."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.collecting import collect_or_report, measured_table
from experiments.equal_latency import mean_interval
from experiments.joint_vs_random.run import RECIPE, architectures, final, search, settings_of
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json
from predictors.early_stopping import FEWEST, stopping_rule

SEEDS = (0, 1, 2)
EPOCHS = 6  # of a candidate's training in full
TRAININGS, FINALISTS = 16, 4  # candidate trainings of a search, the finalists among them
CORRELATIONS = (None, 0.75)  # search.stop_correlation; None: all candidates train in full
THRESHOLDS = (0.98, 0.92, 0.85, 0.8, 0.7, 0.5)  # where the first batch would have stopped the others


def processor_seconds() -> float:
    """Of this process and its ended workers: unlike the clock's, not those that other work on the machine takes."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def searched(root: str, out: Path, table: LatencyTable, correlation: float | None, seed: int) -> dict[str, Any]:
    """One joint search; what it found, and what its candidates' trainings took."""
    folder = out / f"{correlation or 'full'}-{seed}"
    settings = dataclasses.replace(
        settings_of("joint"), trials=TRAININGS, finalists=FINALISTS, stop_correlation=correlation
    )
    began = processor_seconds()
    found = search(root, folder, table, "joint", seed, settings, dataclasses.replace(RECIPE, epochs=EPOCHS))
    figures = [trial["figures"] for trial in read_json(folder / "trials.json", "trials")]
    return {
        **found,
        "stop_correlation": correlation,
        "stop_epoch": figures[-1]["epochs"],
        "epochs_trained": sum(figure["epochs"] for figure in figures),
        "processor_seconds": processor_seconds() - began,  # without what an interrupted search had done before
        "curves": [figure["curve"] for figure in figures if "curve" in figure],
    }


def collect(root: str, out: Path) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    file = out / "results.jsonl"
    table = measured_table(architectures(), Device(), out)
    finished = records.finished(file)
    done = {(record["stop_correlation"], record["seed"]) for record in finished}
    for seed in SEEDS:
        for correlation in CORRELATIONS:
            if (correlation, seed) in done:
                continue
            found = searched(root, out, table, correlation, seed)
            trained = final(root, found, own=True)
            finished.append({**found, "test_top1_percent": trained["top1_percent"]})
            records.write(file, finished)
            print({key: value for key, value in finished[-1].items() if key not in ("recipe", "curves", "genotype")})


def report(file: Path) -> None:
    """Print the table of `results.jsonl`, differences paired by seed, and what other thresholds would have chosen."""
    by = {(record["stop_correlation"], record["seed"]): record for record in records.read(file)}
    seeds = [seed for seed in SEEDS if all((correlation, seed) in by for correlation in CORRELATIONS)]
    keys = ("epochs_trained", "processor_seconds", "validation_top1_percent", "test_top1_percent")
    print("| stop_correlation | stops after | epochs trained | processor seconds | validation % | test % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for correlation in CORRELATIONS:
        mine = [by[correlation, seed] for seed in seeds]
        stops = ", ".join(str(record["stop_epoch"]) for record in mine)
        cells = [
            f"{np.mean([record[key] for record in mine]):{form}} "
            f"({', '.join(format(record[key], form) for record in mine)})"
            for key, form in zip(keys, (".0f", ".0f", ".2f", ".2f"), strict=True)
        ]
        print(f"| {correlation or 'none'} | {stops} | {' | '.join(cells)} |")
    for correlation in CORRELATIONS[1:]:
        pairs = [(by[correlation, seed], by[None, seed]) for seed in seeds]
        for key in ("epochs_trained", "processor_seconds"):
            mean, half = mean_interval([100 * (1 - one[key] / other[key]) for one, other in pairs])
            print(f"{correlation}: {key} saved {mean:.1f} ± {half:.1f}% (95% t-interval, {len(seeds)} seeds)")
        mean, half = mean_interval([one["test_top1_percent"] - other["test_top1_percent"] for one, other in pairs])
        print(f"{correlation}: test top-1 {mean:+.2f} ± {half:.2f} points")
    print("| seed | correlation of epochs 1 to the last | " + " | ".join(f"stop at {t}" for t in THRESHOLDS) + " |")
    print("| --- | --- |" + " --- |" * len(THRESHOLDS))
    for seed in seeds:
        curves = np.array(by[CORRELATIONS[1], seed]["curves"])[:FEWEST]
        ranks = ", ".join(f"{value:.2f}" for value in stopping_rule(curves).correlations)
        stops = " | ".join(str(stopping_rule(curves, threshold).epochs) for threshold in THRESHOLDS)
        print(f"| {seed} | {ranks} | {stops} |")


if __name__ == "__main__":
    collect_or_report(__doc__, "runs/early_stopping", collect, report)
