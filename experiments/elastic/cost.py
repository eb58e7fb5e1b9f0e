"""What five budgets cost: one supernet and derivations, or five searches and trainings? (see README.md)

Both ways are the commands as a user gives them, in processes of their own; their processor time is counted with that
of all their workers. Interrupted, the command goes on with the piece that was not finished, from its beginning, so that
its minutes are whole.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments import records
from experiments.collecting import data_options, data_parser
from experiments.elastic.space import HEAD, SIZES, STAGES, STEM, Size, space

BUDGETS = (0.15, 0.3, 0.45, 0.6, 0.75)  # of the reachable multiply-adds
SCORED, TRAINED = 48, 12  # candidates of the elastic search, and of each separate one
OF_EPOCHS = 0.5  # of the recipe's, for a candidate's training in a separate search


def overrides(size: Size, root: str, out: Path) -> list[str]:
    """What both ways share: space, data, recipe, no latency (its measurement would be the same for both)."""
    card = {"stages": STAGES, "stem": STEM, "head": HEAD}
    data = [f"data.root={root}", f"data.resolution={size.resolution}", f"data.train_limit={size.images or 'null'}"]
    fields = ("epochs", "batch_size", "lr", "optimizer", "weight_decay", "label_smoothing", "clip_grad", "augment")
    values = size.recipe.to_dict()
    recipe = [f"++recipe.{name}={values[name]}" for name in (*fields, "zero_init_residual")]
    return [
        "space=from_card",
        *(f"++space.{name}={_hydra(value)}" for name, value in card.items()),
        *("data=fashion_mnist", *data, *recipe, "++recipe.warmup_epochs=null", "latency=off"),
        *("search.batch=4", "search.finalists=2", "search.validation_fraction=0.1", "executor.workers=1"),
    ]


def _hydra(value: Any) -> str:
    """A value in Hydra's grammar: JSON without quotes about keys and words."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")


class Cost:
    """The pieces of one size and seed; `file` holds what each took."""

    def __init__(self, root: str, size: str, out: Path, seed: int) -> None:
        self.size, self.seed, self.out = SIZES[size], seed, (out / f"cost-{size}-{seed}").resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.shared = [*overrides(self.size, root, self.out), f"seed={seed}"]
        low, high = space(self.size.resolution).count("macs").reachable()
        self.macs = {share: int(low + share * (high - low)) for share in BUDGETS}
        self.file = self.out / "results.jsonl"
        self.found = records.finished(self.file)

    def run(self) -> None:
        first = BUDGETS[len(BUDGETS) // 2]
        recipe = [word.replace("recipe.", "pretraining.recipe.", 1) for word in self.shared if "recipe." in word]
        elastic = ["search.scorer=elastic", f"search.trials={SCORED}", *recipe]
        self.piece("together", first, ["nas.search", *self.shared, *elastic, f"run_dir={self.out / 'together'}"])
        for share in BUDGETS:
            if share != first:
                out = self.out / f"together-{share}"
                self.piece("together", share, ["nas.derive", f"run={self.out / 'together'}", f"out={out}"])
        epochs = max(round(OF_EPOCHS * self.size.epochs), 1)
        for share in BUDGETS:
            settings = [f"search.trials={TRAINED}", f"search.epochs={epochs}"]
            run_dir = f"run_dir={self.out / f'separate-{share}'}"
            self.piece("separate", share, ["nas.search", *self.shared, *settings, run_dir])

    def piece(self, way: str, share: float, words: Sequence[str]) -> None:
        """The command `words` within that budget, unless an earlier run finished it."""
        if any((r["way"], r["share"]) == (way, share) for r in self.found):
            return
        folder = Path(words[-1].partition("=")[2])
        shutil.rmtree(folder, ignore_errors=True)
        process = subprocess.Popen([sys.executable, "-m", *words, f"budget.macs={self.macs[share]}"])
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{words[0]} failed; what it said is above")
        result = json.loads((folder / ("result.json" if words[0] == "nas.search" else "derived.json")).read_text())
        found = result[0] if isinstance(result, list) else result
        record = {
            "way": way,
            "share": share,
            "seed": self.seed,
            "asked_macs": self.macs[share],
            "macs": found["macs"],
            "top1_percent": found["top1_percent"],
            "cpu_minutes": (used.ru_utime + used.ru_stime) / 60,
        }
        self.found.append(record)
        records.write(self.file, self.found)
        print(json.dumps(record), flush=True)


def report(file: Path) -> None:
    """Processor minutes and accuracies, means over seeds."""
    found = records.read(file)
    print("| budget (share of the range) | together: minutes | top-1 | separate: minutes | top-1 |")
    print("| --- | --- | --- | --- | --- |")
    totals = {"together": 0.0, "separate": 0.0}
    for share in BUDGETS:
        cells = []
        for way in totals:
            rows = [r for r in found if (r["way"], r["share"]) == (way, share)]
            minutes, top1 = (float(np.mean([r[name] for r in rows])) for name in ("cpu_minutes", "top1_percent"))
            totals[way] += minutes
            cells += [f"{minutes:.2f}", f"{top1:.2f}"]
        print(f"| {share} | {' | '.join(cells)} |")
    print(f"| all | {totals['together']:.2f} | | {totals['separate']:.2f} | |")


def main() -> None:
    parser = data_parser(__doc__, "runs/elastic_experiment")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    options = data_options(parser)
    if options.report:
        return report(options.report)
    cost = Cost(str(Path(options.data).resolve()), options.size, options.out, options.seed)
    cost.run()
    report(cost.file)


if __name__ == "__main__":
    main()
