"""Searched networks against random ones and hand-made ones of equal latency, same recipe (see README.md)."""

from __future__ import annotations

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import conf
from nas import cards, training
from nas.data import ImageData
from nas.data.torchvision import fashion_mnist
from nas.derivation import best_under_budget
from nas.engine import make_accelerator
from nas.files import write_text
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measure import measure_arch_ms
from nas.latency.table import LatencyTable
from nas.methods.base import Task
from nas.problem import resolve_budget
from nas.seeding import numpy_generator
from search_spaces import Arch, LayerwiseSpace
from search_spaces.additive import AdditiveCost
from search_spaces.fbnet import CANDIDATES, PUBLISHED, fbnet
from search_spaces.recipe import Recipe

RESOLUTION, WIDTH = 16, 0.5
TRAIN_IMAGES, TEST_IMAGES = 1000, 5000
SEEDS, RANDOM_NETWORKS = (0, 1, 2), 10
TOLERANCE = 0.03  # random networks: table latency within this of the searched one's
FRACTION = 0.5  # of the reachable latency range
SEARCH_EPOCHS, WARMUP_EPOCHS = 5, 2
RECIPE = Recipe(
    epochs=8,
    batch_size=32,
    lr=0.01,
    optimizer="adamw",
    weight_decay=0.02,
    warmup_epochs=1,
    label_smoothing=0.1,
    augment="shift",
    zero_init_residual=True,
)


def space_of(width: float = WIDTH) -> LayerwiseSpace:
    return fbnet(RESOLUTION, 10, 1, width=width)


def data_of(root: str) -> ImageData:
    return fashion_mnist(root, RESOLUTION, TRAIN_IMAGES, TEST_IMAGES)


def search(root: str, out: str, seed: int) -> dict[str, Any]:
    """The searched network of one seed: genotype and estimate."""
    torch.set_num_threads(1)
    space, data = space_of(), data_of(root)
    table = LatencyTable.load(Path(out) / "table.json", space)
    cost = table.cost(space)
    budget = resolve_budget(cost, None, FRACTION, 0.0)
    assert budget is not None
    card = yaml.safe_load((Path(conf.__file__).parent / "method" / "dnas.yaml").read_text())
    card |= {"epochs": SEARCH_EPOCHS, "warmup_epochs": WARMUP_EPOCHS}
    checkpoint = Path(out) / f"search-{seed}.pt"
    task = Task(
        space, data, cost, budget.limit_ms, seed, make_accelerator("cpu"), checkpoint, lambda epoch, record: None
    )
    result = cards.build(card, "method", {}).search(task)
    (genotype,) = best_under_budget(result.probabilities, cost.fixed, cost.rows, budget.limit_ms)
    estimate = float(cost(np.array([genotype]))[0])
    return {"seed": seed, "genotype": list(genotype), "estimated_ms": estimate, "search_seconds": result.seconds}


def random_networks(cost: AdditiveCost, space: LayerwiseSpace, target_ms: float, seed: int) -> list[list[int]]:
    """Uniform genotypes whose table latency is within `TOLERANCE` of `target_ms`."""
    population = space.sample(400_000, numpy_generator(seed, "random networks"))
    near = population[np.abs(cost(population) / target_ms - 1) <= TOLERANCE]
    if len(near) < RANDOM_NETWORKS:
        raise ValueError(f"only {len(near)} of 400,000 uniform networks lie within 3% of {target_ms:.3g} ms")
    return near[:RANDOM_NETWORKS].tolist()


def hand_made(device: Device, target_ms: float) -> dict[str, tuple[float, Arch]]:
    """FBNet-C's blocks and MobileNetV2's (3x3, expansion 6 throughout) at the width nearest to `target_ms`."""
    blocks = {
        "FBNet-C blocks": [CANDIDATES.index(name) for name in PUBLISHED["fbnetc_100"].blocks.split()],
        "MobileNetV2 blocks": [CANDIDATES.index("k3_e6")] * 22,
    }
    found = {}
    for name, genotype in blocks.items():
        archs = {width: space_of(width).decode(genotype) for width in (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)}
        archs = {arch.id: (width, arch) for width, arch in archs.items()}  # widths that round alike count once
        times = {key: measure_arch_ms(arch, device).median_ms for key, (_, arch) in archs.items()}
        nearest = min(times, key=lambda key: abs(times[key] - target_ms))
        found[name] = archs[nearest]
    return found


def train(root: str, arch_json: str, seed: int) -> dict[str, float]:
    """Train one network from scratch; figures on the test split."""
    torch.set_num_threads(1)
    network = training.build_network(Arch.from_json(arch_json), RECIPE, seed=seed)
    return training.train(network, data_of(root), RECIPE, seed=seed, accelerator=make_accelerator("cpu"))


def collect(root: str, out: Path, processes: int) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    out.mkdir(parents=True, exist_ok=True)
    device = Device()
    space = space_of()
    if not (out / "table.json").exists():
        build_table(space, device, out / "tables").save(out / "table.json")
    table = LatencyTable.load(out / "table.json", space, device)
    cost = table.cost(space)
    file = out / "results.jsonl"
    records = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def add(record: dict[str, Any]) -> None:
        records.append(record)
        write_text(file, "".join(json.dumps(r) + "\n" for r in records))
        print(json.dumps({k: v for k, v in record.items() if k != "genotype"}), flush=True)

    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = {r["seed"] for r in records if r["kind"] == "search"}
        for future in [pool.submit(search, root, str(out), seed) for seed in SEEDS if seed not in done]:
            add({"kind": "search", **future.result()})
        jobs = []
        searches = sorted((r for r in records if r["kind"] == "search"), key=lambda r: r["seed"])
        target = float(np.mean([found["estimated_ms"] for found in searches]))
        made = hand_made(device, target)
        for found in searches:
            seed = found["seed"]
            jobs.append(("searched", 0, seed, space.decode(found["genotype"])))
            for i, genotype in enumerate(random_networks(cost, space, found["estimated_ms"], seed)):
                jobs.append(("random", i, seed, space.decode(genotype)))
            jobs += [(f"{name} x {width}", 0, seed, arch) for name, (width, arch) in made.items()]
        trained = {(r["name"], r["index"], r["seed"]) for r in records if r["kind"] == "training"}
        # by index first, so that an early look is balanced over seeds
        jobs = sorted((job for job in jobs if job[:3] not in trained), key=lambda job: (job[1], job[2]))
        times = {job[:3]: measure_arch_ms(job[3], device).median_ms for job in jobs}
        futures = [(job, pool.submit(train, root, job[3].to_json(), job[2])) for job in jobs]
        for (name, index, seed, arch), future in futures:
            figures = future.result()
            try:
                estimate = table.estimate_ms(arch)
            except ValueError:  # another width than the table's
                estimate = None
            add(
                {
                    "kind": "training",
                    "name": name,
                    "index": index,
                    "seed": seed,
                    "arch": arch.id,
                    "params": arch.params,
                    "macs": arch.macs,
                    "estimated_ms": estimate,
                    "measured_ms": times[name, index, seed],
                    "top1_percent": figures["top1_percent"],
                    "train_seconds": figures["train_seconds"],
                }
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="fashion_mnist.npz or the folder of torchvision's FashionMNIST")
    parser.add_argument("--out", type=Path, default=Path("runs/fbnet_vs_random"))
    parser.add_argument("--processes", type=int, default=2, help="single-threaded worker processes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    collect(options.data, options.out, options.processes)


if __name__ == "__main__":
    main()
