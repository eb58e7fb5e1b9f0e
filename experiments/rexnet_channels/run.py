"""Train networks of equal cost and different channel curves; one line of results per training, resumable."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch

from experiments import equal_latency, records
from experiments.rexnet_channels.configurations import Configuration, configurations, factorial
from nas.data.arrays import npz
from nas.train import training
from nas.train.accelerator import make_accelerator

HERE = Path(__file__).parent
TRAIN_IMAGES, TEST_IMAGES = 1000, 4000
PER_FAMILY, SEEDS = 26, (0, 1, 2)
RECIPE = dataclasses.replace(equal_latency.RECIPE, epochs=5)


def jobs() -> list[tuple[str, Configuration, int]]:
    """(part, configuration, seed): the curves once each, then the factorial under every seed."""
    curves = [("curves", made, 0) for made in configurations(PER_FAMILY, seed=0)]
    return curves + [("factorial", made, seed) for seed in SEEDS for made in factorial()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="Fashion-MNIST as one .npz file")
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl")
    parser.add_argument("--limit", type=int, help="stop after so many trainings")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = npz(options.data, 16, None, TRAIN_IMAGES, TEST_IMAGES)
    rows = records.finished(options.out)
    done = {(row["part"], row["family"], row["index"], row["squeeze"], row["act"], row["seed"]) for row in rows}
    left = [
        (part, made, seed)
        for part, made, seed in jobs()
        if (part, made.family, made.index, made.squeeze, made.act, seed) not in done
    ]
    for part, made, seed in left[: options.limit]:
        arch = made.arch(data.num_classes)
        network = training.build_network(arch, RECIPE, seed=seed)
        figures = training.train(network, data, RECIPE, seed=seed, accelerator=make_accelerator("cpu"))
        row = {
            "part": part,
            **dataclasses.asdict(made),
            "seed": seed,
            "macs": arch.macs,
            "params": arch.params,
            "top1_percent": figures["top1_percent"],
            "train_loss": figures["train_loss"],
            "train_seconds": round(figures["train_seconds"], 1),
        }
        rows.append(row)
        records.write(options.out, rows)
        print(f"{part} {made.family} {made.index} {made.squeeze} {made.act} seed {seed}: {row['top1_percent']:.2f}%")


if __name__ == "__main__":
    main()
