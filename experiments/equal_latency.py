"""Searched networks against random and hand-made ones of equal latency, same recipe: what the `*_vs_random` share."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from experiments import records
from experiments.collecting import collect_or_report, measured_table
from experiments.records import Results
from nas.data.torchvision import fashion_mnist
from nas.derive.budget import BudgetRequest, resolve_budget
from nas.derive.integer_programme import best_under_budget
from nas.latency.device import Device
from nas.latency.measuring.measure import measure_arch_ms
from nas.latency.tables.table import LatencyTable
from nas.methods.base import Task
from nas.runs.seeding import numpy_generator
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces import Arch, LayerwiseSpace
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.recipe import Recipe

RESOLUTION = 16
TRAIN_IMAGES, TEST_IMAGES = 1000, 5000
RANDOM_NETWORKS = 10  # for each seed
TOLERANCE = 0.03  # networks that are compared lie within this below the limit, by the table
FRACTION = 0.5  # of the reachable latency range
UNDECIDED = {"decided_at": None, "entropy_weight": 0.0, "theta_passes": 1}  # of a method: all epochs, plain losses
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


@dataclass(frozen=True)
class Setting:
    """What is compared. All functions are a module's own, so that worker processes find them.

    `space()`: the space searched; `methods`: by name, a method card and what differs from it; `hand_made(device,
    target_ms)`: further networks by name; `free`: methods whose network is also derived without the least latency;
    `random_networks`: for each seed.
    """

    space: Callable[[], LayerwiseSpace]
    methods: dict[str, tuple[str, dict[str, Any]]]
    hand_made: Callable[[Device, float], dict[str, Arch]] | None = None
    free: tuple[str, ...] = field(default=())
    random_networks: int = RANDOM_NETWORKS


def search(setting: Setting, root: str, out: str, name: str, seed: int) -> dict[str, Any]:
    """The network that method `name` finds with `seed`: the most probable one of `1 - TOLERANCE` to 1 of the limit."""
    torch.set_num_threads(1)
    space, data = setting.space(), fashion_mnist(root, RESOLUTION, TRAIN_IMAGES, TEST_IMAGES)
    cost = LatencyTable.load(Path(out) / "table.json", space).cost(space)
    limit = limit_of(cost)
    kind, changes = setting.methods[name]
    card = card_values(f"method/{kind}") | changes
    checkpoint = Path(out) / f"search-{name.replace(' ', '-')}-{seed}.pt"
    task = Task(space, data, cost, limit, seed, make_accelerator("cpu"), checkpoint, lambda epoch, record: None)
    result = cards.build(card, "method", {}).search(task)
    found = {}
    for derived, least in (("at the limit", (1 - TOLERANCE) * limit), ("free", -np.inf)):
        (genotype,) = best_under_budget(result.probabilities, cost, limit, 1, least)
        found[derived] = {"genotype": list(genotype), "estimated_ms": float(cost(np.array([genotype]))[0])}
    probable = float(np.mean([row.max() for row in result.probabilities]))
    at_the_limit = found["at the limit"]["genotype"]
    taken = float(np.mean([row[gene] for row, gene in zip(result.probabilities, at_the_limit, strict=True)]))
    return {
        "method": name,
        "seed": seed,
        "limit_ms": limit,
        **found,
        "mean_top_probability": probable,
        "mean_taken_probability": taken,
        "epochs": result.epochs,
        "random": random_networks(cost, space, seed)[: setting.random_networks],
        "search_seconds": result.seconds,
    }


def limit_of(cost: AdditiveCost) -> float:
    budget = resolve_budget(cost, BudgetRequest(), FRACTION, 0.0)
    assert budget is not None
    return budget.limit_ms


def random_networks(
    cost: AdditiveCost, space: LayerwiseSpace, seed: int, count: int = RANDOM_NETWORKS
) -> list[list[int]]:
    """`count` uniform genotypes whose table latency is `1 - TOLERANCE` to 1 of the limit."""
    population = space.sample(400_000, numpy_generator(seed, "random networks"))
    share = cost(population) / limit_of(cost)
    near = population[(share <= 1) & (share >= 1 - TOLERANCE)]
    if len(near) < count:
        raise ValueError(f"only {len(near)} of 400,000 uniform networks lie within 3% below {limit_of(cost):.3g} ms")
    return near[:count].tolist()


def train(root: str, arch_json: str, seed: int) -> dict[str, float]:
    """Train one network from scratch; figures on the test split."""
    torch.set_num_threads(1)
    network = training.build_network(Arch.from_json(arch_json), RECIPE, seed=seed)
    data = fashion_mnist(root, RESOLUTION, TRAIN_IMAGES, TEST_IMAGES)
    return training.train(network, data, RECIPE, seed=seed, accelerator=make_accelerator("cpu"))


def collect(setting: Setting, root: str, out: Path, processes: int, seeds: int) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    device, space = Device(), setting.space()
    table = measured_table(space, device, out)
    cost = table.cost(space)
    results = Results(out / "results.jsonl")
    finished = results.found

    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        done = {(r["method"], r["seed"]) for r in finished if r["kind"] == "search"}
        wanted = [(name, seed) for seed in range(seeds) for name in setting.methods if (name, seed) not in done]
        for future in [pool.submit(search, setting, root, str(out), *which) for which in wanted]:
            results.add({"kind": "search", **future.result()})
        jobs: list[tuple[str, int, int, Arch]] = []
        for found in (r for r in finished if r["kind"] == "search"):
            jobs.append((found["method"], 0, found["seed"], space.decode(found["at the limit"]["genotype"])))
            if found["method"] in setting.free:
                jobs.append((f"{found['method']}, free", 0, found["seed"], space.decode(found["free"]["genotype"])))
        made = setting.hand_made(device, limit_of(cost)) if setting.hand_made else {}
        for seed in range(seeds):
            drawn = random_networks(cost, space, seed)[: setting.random_networks]
            jobs += [("random", i, seed, space.decode(g)) for i, g in enumerate(drawn)]
            jobs += [(name, 0, seed, arch) for name, arch in made.items()]
        trained = {(r["name"], r["index"], r["seed"]) for r in finished if r["kind"] == "training"}
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
            results.add(
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


def mean_interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of its 95% t-interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return float(np.mean(values)), float(half)


def report(setting: Setting, file: Path) -> None:
    """Print the table of `results.jsonl`, and what each method gains over the random networks of its seed."""
    runs = [record for record in records.read(file) if record["kind"] == "training"]
    print("| networks | trainings | measured ms | MACs (M) | top-1 %, mean and 95% interval | best | worst |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(record["name"] for record in runs):
        mine = [record for record in runs if record["name"] == name]
        top1 = [record["top1_percent"] for record in mine]
        mean, half = mean_interval(top1)
        ms, macs = (np.mean([record[key] for record in mine]) for key in ("measured_ms", "macs"))
        print(
            f"| {name} | {len(mine)} | {ms:.3f} | {macs / 1e6:.2f} | {mean:.2f} ± {half:.2f} "
            f"| {max(top1):.2f} | {min(top1):.2f} |"
        )
    for name in [*setting.methods, *(f"{name}, free" for name in setting.free)]:
        gains, ranks = [], []
        for seed in sorted({record["seed"] for record in runs}):
            mine = [r["top1_percent"] for r in runs if r["name"] == name and r["seed"] == seed]
            random = [r["top1_percent"] for r in runs if r["name"] == "random" and r["seed"] == seed]
            if mine and random:
                gains.append(mine[0] - float(np.mean(random)))
                ranks.append(f"{sum(value < mine[0] for value in random)} of {len(random)}")
        if len(gains) > 1:
            mean, half = mean_interval(gains)
            beaten = "; ".join(ranks)
            print(
                f"{name} minus the random mean: {mean:+.2f} ± {half:.2f} points over {len(gains)} seeds; beats {beaten}"
            )


def main(setting: Setting, description: str | None, default_out: str) -> None:
    """The command line of an experiment: run what is missing, or `--report`."""
    collect_or_report(
        description,
        default_out,
        functools.partial(collect, setting),
        functools.partial(report, setting),
        processes=(2, "single-threaded worker processes"),
        seeds=(3, "searches, each with its random networks"),
    )
