"""How well a supernet learns in equal time under soft, top-2 and hard paths (see README.md)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments import records
from nas.data.digits import digits
from nas.derive.most_probable import argmax
from nas.methods.base import Task
from nas.runs.seeding import numpy_generator
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.families.fbnet import fbnet

SEEDS = (0, 1, 2)
EPOCHS = {"soft": 4, "top2": 12, "hard": 20}  # about equal seconds on one thread


def run(mode: str, seed: int, folder: Path) -> dict[str, Any]:
    """Search digits without a budget; figures of the last epoch, and test accuracy with inherited weights.

    `inherited`: the most probable network after its batch statistics were estimated anew on the training images;
    `random`: the same for five uniform networks, the mean.
    """
    data, space = digits(16), fbnet(16, 10, 1)
    cost = space.cost(lambda layer, shape: 1.0 + layer.cost(shape).macs / 1e6)
    undecided = {"decided_at": None, "entropy_weight": 0.0, "theta_passes": 1}
    annealed = {"temperature_decay": 0.5, "temperature_floor": 0.1, "negligible": 0.0}
    lengths = {"epochs": EPOCHS[mode], "warmup_epochs": EPOCHS[mode] // 2}
    changes = {"mode": mode, **lengths, **undecided, **annealed}
    epochs: list[dict[str, float]] = []
    task = Task(
        space,
        data,
        cost,
        None,
        seed,
        make_accelerator("cpu"),
        folder / f"{mode}-{seed}.pt",
        lambda epoch, record: epochs.append(record),
    )
    result = cards.build(card_values("method/dnas") | changes, "method", {}).search(task)
    assert result.inherit is not None

    def accuracy(genotype: Any) -> float:
        network = result.inherit(tuple(genotype)).train()
        with torch.no_grad():
            for images, _ in data.train.batches(128, seed=seed, epoch=0):
                network(images)
        return training.evaluate(network, data.test)["top1_percent"]

    uniform = space.sample(5, numpy_generator(seed, "uniform"))
    return {
        "mode": mode,
        "seed": seed,
        "epochs": EPOCHS[mode],
        "seconds": result.seconds,
        "weight_loss": epochs[-1]["weight_loss"],
        "theta_entropy": epochs[-1]["theta_entropy"],
        "inherited_top1_percent": accuracy(argmax(result.probabilities)),
        "random_top1_percent": float(np.mean([accuracy(genotype) for genotype in uniform])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/path_modes"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.out / str(int(time.time()))
    results = []
    for seed in SEEDS:
        for mode in EPOCHS:
            results.append(run(mode, seed, folder))
            print(json.dumps(results[-1]), flush=True)
            records.write(options.out / "results.jsonl", results)


if __name__ == "__main__":
    main()
