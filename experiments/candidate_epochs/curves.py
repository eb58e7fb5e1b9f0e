"""The networks of a contest, trained to the end: their accuracy after every epoch, and on the test images at last."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from experiments import records
from experiments.candidate_epochs.run import HELD_OUT
from experiments.wins.setting import Setting
from nas.runs.files import read_json
from nas.train import training
from nas.train.accelerator import make_accelerator


def collect(root: str, run: Path, out: Path, images: int, seeds: list[int]) -> None:
    """A record for each network and seed that `out` does not have yet; `curve`: top-1 percent and loss, by epoch."""
    setting = Setting(images=images)
    space, data = setting.space(), setting.data(root)
    part = data.held_out(1 - HELD_OUT, 0)
    found = records.finished(out)
    for seed in seeds:
        for entrant in read_json(run / "contest.json", "the contest")["outcome"]["networks"]:
            arch = space.decode(entrant["genotype"])
            if any((r["arch"], r["seed"]) == (arch.id, seed) for r in found):
                continue
            began, curve = time.process_time(), list[list[float]]()

            def keep(_: int, record: dict[str, float], curve: list[list[float]] = curve) -> None:
                curve.append([record["top1_percent"], record["loss"]])

            network = training.build_network(arch, setting.recipe, seed=seed)
            options = training.Options(on_epoch=keep, evaluate_every=1)
            where = make_accelerator("cpu")
            training.train(network, part, setting.recipe, seed=seed, accelerator=where, options=options)
            found.append(
                {
                    "name": entrant["name"],
                    "arch": arch.id,
                    "score": entrant["score"],
                    "contest_top1_percent": entrant["validation_top1_percent"],
                    "contest_epochs": entrant["epochs"],
                    "seed": seed,
                    "curve": curve,
                    "test": training.evaluate(network, data.test)["top1_percent"],
                    "processor_seconds": time.process_time() - began,
                }
            )
            records.write(out, found)
            print(json.dumps(found[-1]), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="fashion_mnist.npz")
    parser.add_argument("--run", type=Path, required=True, help="a finished search of space=mobile that held a contest")
    parser.add_argument("--out", type=Path, default=Path("runs/candidate_epochs/contest-curves.jsonl"))
    parser.add_argument("--images", type=int, default=10_000, help="training images; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    collect(arguments.data, arguments.run, arguments.out, arguments.images, arguments.seeds)
