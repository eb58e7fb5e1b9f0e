"""Ten and twenty networks on a new device, beside the tables of others: six sets of devices, four ways to learn."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from experiments import records
from experiments.compare.report import interval
from experiments.help_fbnet_few_shot.run import DATA
from nas.latency.device import Device
from nas.latency.imports.networks import learned_table
from nas.latency.learning.few import best_fit, ways_to_learn
from nas.latency.learning.learn import Additive, learn
from nas.latency.learning.transfer import transfer
from nas.latency.tables.proof import Errors
from nas.latency.tables.table import LatencyTable
from search_spaces.families.fbnet import fbnet
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

FILE = Path(__file__).parent / "results.jsonl"
KNOWN = 4000  # networks that teach the sources' tables, and that samples are drawn from; the others judge
GPUS = [f"{gpu}_{batch}" for gpu in ("1080ti", "2080ti", "titan_rtx", "titanx", "titanxp") for batch in (1, 32, 64)]
HELP = [
    "1080ti_1",
    "1080ti_32",
    "1080ti_64",
    "silver_4114",
    "silver_4210r",
    "samsung_a50",
    "pixel3",
    "essential_ph_1",
    "samsung_s7",
]
# NASFLAT's tasks (Akhauri and Abdelfattah 2024, table of device sets): sources, targets
TASKS = {
    "FD": (HELP, ["fpga", "raspi4", "eyeriss"]),
    "F1": (
        ["2080ti_1", "essential_ph_1", "silver_4114", "titan_rtx_1", "titan_rtx_32"],
        ["eyeriss", "fpga", "raspi4", "samsung_a50", "samsung_s7"],
    ),
    "F2": (
        ["essential_ph_1", "gold_6226", "gold_6240", "pixel3", "raspi4"],
        ["1080ti_1", "1080ti_32", "2080ti_32", "titan_rtx_1", "titanxp_1"],
    ),
    "F3": (
        ["essential_ph_1", "pixel2", "pixel3", "raspi4", "samsung_s7"],
        ["1080ti_1", "1080ti_32", "2080ti_1", "titan_rtx_1", "titan_rtx_32"],
    ),
    "F4": (
        [
            "1080ti_64",
            "2080ti_1",
            "eyeriss",
            "gold_6226",
            "gold_6240",
            "raspi4",
            "samsung_s7",
            "silver_4210r",
            "titan_rtx_1",
            "titan_rtx_32",
        ],
        ["1080ti_1", "pixel2", "essential_ph_1"],
    ),
    "FA": (GPUS, ["gold_6226", "essential_ph_1", "samsung_s7", "pixel2"]),
    # HELP's nine sources, those of the target's make left out; targets are all other measured devices
    "others": (HELP, [*GPUS[3:], "gold_6226", "gold_6240", "pixel2"]),
}
OLD = ("learned alone", "ridge on sources", "transfer")
NOW = "action=learn"


class Bench:
    """HELP's 5,000 networks and their times on 27 devices."""

    def __init__(self, path: Path) -> None:
        self.space = fbnet(32, num_classes=100, head_channels=1504)
        with np.load(path) as data:
            self.population: Population = data["archs"].astype(np.int64)
            self.times = {name[4:]: data[name].astype(np.float64) for name in data.files if name.startswith("lat_")}

    @cached_property
    def tables(self) -> dict[str, LatencyTable]:
        """Of every device, learned from the first `KNOWN` networks."""
        return {
            name: learned_table(self.space, self.population[:KNOWN], times[:KNOWN], Device(name=name))
            for name, times in self.times.items()
        }


class Learners:
    """Every way to learn beside the tables `sources`."""

    def __init__(self, bench: Bench, sources: Sequence[LatencyTable]) -> None:
        self.bench, self.known = bench, [Additive(*table.rows(bench.space)) for table in sources]
        self.seen = np.column_stack([each.predict(bench.population) for each in self.known])
        self.ways = ways_to_learn(bench.space, sources)

    def estimates(self, rows: np.ndarray, times: Floats) -> dict[str, Floats]:
        """By way to learn from the `times` of the networks `rows`, what all networks are priced at."""
        space, genes, ways = self.bench.space, self.bench.population, self.ways
        return {
            NOW: best_fit(ways, genes[rows], times)[1].predict(genes),
            "rates of work and sources": next(iter(ways.values()))(genes[rows], times).predict(genes),
            "learned alone": learn(space, genes[rows], times, robust=False).predict(genes),
            "transfer": transfer(space, genes[rows], times, self.known).predict(genes),
            "ridge on sources": _ridge(self.seen, rows, times),
        }


def _ridge(seen: Floats, rows: np.ndarray, times: Floats) -> Floats:
    """Ridge regression on the sources' estimates, its penalty chosen by leave-one-out."""
    from sklearn.linear_model import RidgeCV

    scaled = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    return np.asarray(RidgeCV(np.logspace(-3, 3, 13)).fit(scaled[rows], times).predict(scaled))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--report", action="store_true", help="print the tables of what is there")
    options = parser.parse_args()
    if not options.report:
        run(Bench(options.data), options.draws, options.out)
    report(records.read(options.out))


def run(bench: Bench, draws: int, out: Path) -> None:
    """A record a task, target and number of samples: errors of every way, draw by draw."""
    found = records.finished(out)
    done = {(r["task"], r["target"], r["samples"], r["draws"]) for r in found}
    for task, (names, targets) in TASKS.items():
        for target in targets:
            make = target.split("_")[0] if task == "others" else None
            sources = [bench.tables[name] for name in names if name.split("_")[0] != make]
            learners = Learners(bench, sources)
            for samples in (10, 20):
                if (task, target, samples, draws) in done:
                    continue
                errors: dict[str, list[Errors]] = {}
                for draw in range(draws):
                    rows = np.random.default_rng([draw, samples]).choice(KNOWN, samples, replace=False)
                    for way, priced in learners.estimates(rows, bench.times[target][rows]).items():
                        errors.setdefault(way, []).append(Errors.of(priced[KNOWN:], bench.times[target][KNOWN:]))
                spearman = {way: [e.spearman for e in each] for way, each in errors.items()}
                percent = {way: [e.mape_percent for e in each] for way, each in errors.items()}
                record = {"task": task, "target": target, "samples": samples, "draws": draws}
                found.append({**record, "spearman": spearman, "mape_percent": percent})
                records.write(out, found)


def report(found: Sequence[records.Record]) -> None:
    """A row a task; and of how many targets `NOW` is significantly above or below the best of what there was."""
    for samples in (10, 20):
        of = [r for r in found if r["samples"] == samples]
        ways = list(of[0]["spearman"])
        print(f"\n{samples} samples\n\n| devices | {' | '.join(ways)} |\n| --- |{' --- |' * len(ways)}")
        for task in dict.fromkeys(r["task"] for r in of):
            cells = []
            for way in ways:
                ranks = np.mean([r["spearman"][way] for r in of if r["task"] == task], axis=0)
                percent = np.mean([r["mape_percent"][way] for r in of if r["task"] == task])
                cells.append("{:.3f} [{:.3f}, {:.3f}]; ".format(*interval(ranks)) + f"{percent:.1f}%")
            print(f"| {task} | {' | '.join(cells)} |")
        signs = []
        for r in of:
            best = max(OLD, key=lambda way: np.mean(r["spearman"][way]))
            gap = np.array(r["spearman"][NOW]) - np.array(r["spearman"][best])
            mean, low, high = interval(gap)
            signs.append((r["task"], r["target"], best, mean, int(low > 0) - int(high < 0)))
        print(
            f"\nAgainst the best of {', '.join(OLD)}, chosen by its mean after the fact: above on "
            f"{sum(s[-1] > 0 for s in signs)}, below on {sum(s[-1] < 0 for s in signs)} of {len(signs)}:"
        )
        for task, target, best, mean, sign in signs:
            if sign < 0:
                print(f"* {task}, {target}: {mean:+.3f} to {best}")


if __name__ == "__main__":
    main()
