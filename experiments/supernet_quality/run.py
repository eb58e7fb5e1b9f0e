"""Do a supernet's estimates rank networks as training them does? NAS-Bench-Macro's space, CIFAR-10 (see README.md)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from experiments import nas_bench_macro, records
from nas.data import ImageData, Split
from nas.data.torchvision import cifar10
from nas.methods.supernets.mixture import PathWeights, Supernet
from nas.networks.network import Network
from nas.runs.memory import keep_freed_memory
from nas.runs.seeding import derive_seed, numpy_generator, seed_global
from predictors.metrics import kendall_tau, spearman

BATCH = 64


def train(supernet: Supernet, split: Split, steps: int, seed: int, lr: float) -> None:
    """Uniform single paths (Guo et al., arXiv 1904.00420): every step one random network, SGD, cosine rate."""
    space = supernet.space
    optimizer = torch.optim.SGD(supernet.parameters(), lr, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = numpy_generator(seed, "paths")
    supernet.train()
    step = epoch = 0
    while step < steps:
        for images, labels in split.batches(
            BATCH, seed=derive_seed(seed, "supernet"), epoch=epoch, augment="crop_flip", drop_last=True
        ):
            path = PathWeights.one_hot(space.sample(1, rng)[0])
            loss = F.cross_entropy(supernet(images.contiguous(memory_format=torch.channels_last), path), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            step += 1
            if step == steps:
                break
        epoch += 1


@torch.no_grad()
def accuracy_percent(network: Network, training: Split, held_out: Split, renew: bool) -> float:
    """Top-1 on `held_out`, after the batch statistics were estimated anew on 512 images of `training` (`renew`)."""
    if renew:
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the plain average over batches
        network.train()
        for i, (images, _) in enumerate(training.batches(128, seed=0, epoch=0, drop_last=True)):
            network(images.contiguous(memory_format=torch.channels_last))
            if i == 3:
                break
    network.eval()
    hits = [
        (network(images.contiguous(memory_format=torch.channels_last)).argmax(1) == labels).float()
        for images, labels in held_out.batches(512)
    ]
    return 100 * float(torch.cat(hits).mean())


def run(
    data: ImageData, table: nas_bench_macro.Table, steps: int, networks: int, seed: int, lr: float
) -> dict[str, Any]:
    """One supernet: training, then estimates of random networks, and how they agree with the published accuracy."""
    seed_global(seed, "supernet")
    supernet = Supernet(nas_bench_macro.space(data.resolution)).to(memory_format=torch.channels_last)
    training, held_out = data.split_train(0.8, seed)
    began = time.perf_counter()
    train(supernet, training, steps, seed, lr)
    seconds = time.perf_counter() - began
    rows = numpy_generator(seed, "networks").choice(len(table.population), networks, replace=False)
    record: dict[str, Any] = {"seed": seed, "steps": steps, "networks": networks, "train_seconds": seconds}
    began = time.perf_counter()
    for name, renew in (("renewed", True), ("inherited", False)):
        estimates = np.array(
            [accuracy_percent(supernet.extract(table.population[row]), training, held_out, renew) for row in rows]
        )
        record[name] = {**agreement(estimates, table.accuracy[rows]), "mean_top1_percent": float(estimates.mean())}
    record["evaluate_seconds"] = time.perf_counter() - began
    record["macs"] = agreement(table.macs[rows], table.accuracy[rows])
    record["another_training"] = agreement(table.seeds[rows, 0], table.seeds[rows, 1])
    return record


def agreement(estimates: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Kendall's tau and Spearman's rho."""
    return {"kendall_tau": kendall_tau(estimates, truth), "spearman": spearman(estimates, truth)}


def report(finished: list[dict[str, Any]]) -> None:
    print("| estimate | Kendall tau, mean and range over seeds | Spearman | mean top-1 % |")
    print("| --- | --- | --- | --- |")
    for name in ("renewed", "inherited", "macs", "another_training"):
        taus, rhos = ([r[name][key] for r in finished] for key in ("kendall_tau", "spearman"))
        top1 = [r[name]["mean_top1_percent"] for r in finished if "mean_top1_percent" in r[name]]
        shown = f"{np.mean(top1):.1f}" if top1 else "–"
        print(f"| {name} | {np.mean(taus):.3f} ({min(taus):.3f} to {max(taus):.3f}) | {np.mean(rhos):.3f} | {shown} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="CIFAR-10: torchvision's folder or an .npz file")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--train-images", type=int, default=None)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--out", type=Path, default=Path("runs/supernet_quality"))
    options = parser.parse_args()
    keep_freed_memory()
    data, table = cifar10(options.data, options.resolution, options.train_images), nas_bench_macro.Table()
    finished = []
    for seed in options.seeds:
        finished.append(run(data, table, options.steps, options.networks, seed, options.lr))
        print(json.dumps(finished[-1]), flush=True)
        records.write(options.out / "results.jsonl", finished)
    report(finished)


if __name__ == "__main__":
    main()
