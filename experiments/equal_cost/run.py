"""FBNet's and Single-Path's searches against random search of the same processor time (see README.md)."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from experiments import equal_latency
from experiments.collecting import collect_or_report, measured_table
from experiments.equal_cost.report import AS_QUICK, RANDOM, report
from experiments.equal_latency import TOLERANCE, limit_of, random_networks
from experiments.fbnet_vs_random import run as fbnet_vs_random
from experiments.records import Results
from experiments.single_path_vs_random import run as single_path_vs_random
from experiments.wins.rivals import drawn as drawn_near
from nas.data.arrays import npz
from nas.data.images import ImageData
from nas.derive.integer_programme import best_under_budget
from nas.latency.device import Device
from nas.latency.measuring.networks import measure_networks
from nas.latency.tables.table import LatencyTable
from nas.methods.base import Task
from nas.runs.files import read_json, write_json
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import card_values
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces import Arch, LayerwiseSpace

RESOLUTION = 16
TRAIN_IMAGES = 10_000
JUDGED = 0.2  # of the training images: what random search chooses by, what theta and thresholds learn from
RECIPE = dataclasses.replace(equal_latency.RECIPE, batch_size=64)
DRAWS = 60  # random networks of a seed that a random search may train
TRAINED = ("top1_percent", "processor_seconds")
COMPARED = 3  # of them trained on all images, whatever a search says, and as many that are as quick as its free network


@dataclass(frozen=True)
class Question:
    """A method on its own space, and the hand-made networks it is shown beside."""

    method: str
    space: Callable[[], LayerwiseSpace]
    hand_made: Callable[[Device, float], dict[str, Arch]] | None = None


QUESTIONS = {
    "single_path": Question("single_path", single_path_vs_random.space),
    "fbnet": Question("dnas", fbnet_vs_random.space, fbnet_vs_random.hand_made),
}


def data(root: str) -> ImageData:
    return npz(root, RESOLUTION, train_limit=TRAIN_IMAGES)


def search(name: str, root: str, out: str, seed: int) -> dict[str, Any]:
    """What the method finds with its card's values, within the limit and near it, and its processor seconds.

    Begun anew where it was interrupted: what random search may take is what all of a search took, not its last piece.
    """
    torch.set_num_threads(1)
    question, began = QUESTIONS[name], time.process_time()
    space, images = question.space(), data(root)
    cost = LatencyTable.load(Path(out) / "table.json", space).cost(space)
    limit = limit_of(cost)
    with TemporaryDirectory(prefix=f"search-{seed}-", dir=out) as folder:
        checkpoint = Path(folder) / "search.pt"
        task = Task(space, images, cost, limit, seed, make_accelerator("cpu"), checkpoint, lambda epoch, record: None)
        result = cards.build(card_values(f"method/{question.method}"), "method", {}).search(task)
    found = {}
    for derived, least in (("at the limit", (1 - TOLERANCE) * limit), ("free", -np.inf)):
        (genotype,) = best_under_budget(result.probabilities, cost, limit, 1, least)
        found[derived] = {"genotype": list(genotype), "estimated_ms": float(cost(np.array([genotype]))[0])}
    return {
        "limit_ms": limit,
        **found,
        "mean_top_probability": float(np.mean([row.max() for row in result.probabilities])),
        "epochs": result.epochs,
        "processor_seconds": time.process_time() - began,
    }


def search_randomly(name: str, root: str, out: str, seed: int, processor_seconds: float) -> dict[str, Any]:
    """The best of as many random networks near the limit as train in `processor_seconds`, by images held out."""
    torch.set_num_threads(1)
    began, space = time.process_time(), QUESTIONS[name].space()
    cost = LatencyTable.load(Path(out) / "table.json", space).cost(space)
    images = data(root).held_out(1 - JUDGED, seed)
    drawn = random_networks(cost, space, seed, DRAWS)
    scores: list[float] = []
    while len(scores) < DRAWS:
        used = time.process_time() - began
        if scores and used + used / len(scores) / 2 > processor_seconds:  # the next would be more than half too much
            break
        scores.append(trained(space.decode(drawn[len(scores)]), images, seed)["top1_percent"])
    best = int(np.argmax(scores))
    return {
        "genotype": drawn[best],
        "index": best,
        "scores": scores,
        "processor_seconds": time.process_time() - began,
    }


def trained(arch: Arch, images: ImageData, seed: int) -> dict[str, float]:
    """Figures of `arch`, trained from scratch, on the test part of `images`."""
    network = training.build_network(arch, RECIPE, seed=seed)
    return training.train(network, images, RECIPE, seed=seed, accelerator=make_accelerator("cpu"))


def train(root: str, arch_json: str, seed: int) -> dict[str, float]:
    """A network's figures on all test images, trained on all of the training images, and its processor seconds."""
    torch.set_num_threads(1)
    began = time.process_time()
    top1 = trained(Arch.from_json(arch_json), data(root), seed)["top1_percent"]
    return {"top1_percent": top1, "processor_seconds": time.process_time() - began}


def chosen_once(question: Question, device: Device, limit_ms: float, file: Path) -> dict[str, Arch]:
    """The hand-made networks near the limit; those in `file` where an interrupted run has chosen them already."""
    if question.hand_made is None:
        return {}
    if not file.exists():
        made = question.hand_made(device, limit_ms)
        write_json(file, {name: arch.to_dict() for name, arch in made.items()})
    return {name: Arch.from_dict(arch) for name, arch in read_json(file, "networks made by hand").items()}


def collect(root: str, out: Path, processes: int, seeds: int, question: str) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    if question not in QUESTIONS:
        raise SystemExit(f"--question must be one of {', '.join(QUESTIONS)}, got {question!r}")
    device, space = Device(), QUESTIONS[question].space()
    cost = measured_table(space, device, out).cost(space)
    hand_made = chosen_once(QUESTIONS[question], device, limit_of(cost), out / "hand-made.json")
    results = Results(out / "results.jsonl")

    def once(kind: str, seed: int, make: Callable[[], dict[str, Any]], **names: Any) -> dict[str, Any]:
        wanted = {"kind": kind, "question": question, "seed": seed, **names}
        known = [r for r in results.found if all(r.get(key) == value for key, value in wanted.items())]
        return known[0] if known else results.add({**wanted, **make()})

    def of_seed(seed: int) -> None:
        run = functools.partial(_in_pool, pool)
        found = once("search", seed, lambda: run(search, question, root, str(out), seed))
        spent = found["processor_seconds"]
        drawn = once("random search", seed, lambda: run(search_randomly, question, root, str(out), seed, spent))
        archs = {
            "found": space.decode(found["at the limit"]["genotype"]),
            "found, free": space.decode(found["free"]["genotype"]),
            "random search": space.decode(drawn["genotype"]),
            **hand_made,
        }
        some = random_networks(cost, space, seed, COMPARED)
        archs |= {f"{RANDOM} {index}": space.decode(genotype) for index, genotype in enumerate(some)}
        quick = drawn_near(space, cost, found["free"]["estimated_ms"], COMPARED, seed)
        archs |= {f"{AS_QUICK} {index}": arch for index, arch in enumerate(quick)}
        trainings: dict[str, dict[str, Any]] = {}
        for name, arch in archs.items():
            figures = {"arch": arch.id, "macs": arch.macs, "params": arch.params}

            def result(arch: Arch = arch) -> dict[str, Any]:
                same = trainings.get(arch.id)  # found in two ways, or drawn and chosen: one training
                return run(train, root, arch.to_json(), seed) if same is None else {n: same[n] for n in TRAINED}

            trainings[arch.id] = once("training", seed, result, name=name, **figures)
        times = [r for r in results.found if r["kind"] == "time" and r["seed"] == seed]
        missing = [name for name in archs if name not in {r["name"] for r in times}]
        if missing:
            with measuring:
                measured = measure_networks([archs[name] for name in missing], device, seed=seed)
            for name, found_ms in zip(missing, measured, strict=True):
                once("time", seed, lambda ms=found_ms.latency_ms: {"latency_ms": ms}, name=name)

    measuring = threading.Lock()
    with (
        ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool,
        ThreadPoolExecutor(processes) as seeds_at_once,
    ):
        for done in [seeds_at_once.submit(of_seed, seed) for seed in range(seeds)]:
            done.result()


def _in_pool(pool: ProcessPoolExecutor, function: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    return pool.submit(function, *given).result()


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/equal_cost",
        collect,
        report,
        processes=(2, "single-threaded worker processes"),
        seeds=(5, "searches, each with a random search of its cost"),
        question=("fbnet", f"one of {', '.join(QUESTIONS)}"),
    )
