"""Plain convolutions, depthwise bottlenecks or both: which learn more at equal measured latency? (see README.md)"""

from __future__ import annotations

import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from experiments import records
from experiments.collecting import collect_or_report
from experiments.dense_or_depthwise.networks import FORMS, ladder, network
from experiments.dense_or_depthwise.report import report
from experiments.dense_or_depthwise.timing import shares
from nas.data.torchvision import fashion_mnist
from nas.latency.device import Device
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

TARGETS = (0.03, 0.06, 0.12)  # of the reference network's time
MOST_MACS = 25e6  # wider networks lie above the largest target
PROCESSES = 5  # that measure
IMAGES = {"10,000": 10_000, "60,000": None}
RECIPES = {
    name: Recipe(
        epochs=epochs,
        batch_size=64,
        lr=0.003,
        optimizer="adamw",
        weight_decay=0.02,
        warmup_epochs=1,
        augment="shift",
        zero_init_residual=True,
    )
    for name, epochs in (("10,000", 6), ("60,000", 4))
}
ELSEWHERE = {
    "two threads": (Device(threads=2), 32),
    "int8": (Device(dtype="int8"), 32),
    "torch": (Device(runtime="torch"), 32),
    "224 px": (Device(), 224),
}


def choose() -> list[dict[str, Any]]:
    """Measure every width of every form; of each form the width nearest to each target."""
    archs = {
        (kind, form, width): arch
        for kind, forms in FORMS.items()
        for form in forms
        for width, arch in ladder(kind, form).items()
        if arch.macs <= MOST_MACS
    }
    found = dict(zip(archs, shares(list(archs.values()), Device(), PROCESSES), strict=True))
    chosen = []
    for kind, forms in FORMS.items():
        for form in forms:
            mine = {width: share for (k, f, width), share in found.items() if (k, f) == (kind, form)}
            for target in TARGETS:
                width = min(mine, key=lambda w: abs(math.log(mine[w].share / target)))
                arch, share = archs[kind, form, width], mine[width]
                chosen.append(
                    {
                        "kind": "network",
                        "blocks": kind,
                        "form": form,
                        "target": target,
                        "width": width,
                        "macs": arch.macs,
                        "params": arch.params,
                        "share": share.share,
                        "share_range": [share.low, share.high],
                        "ms": share.ms,
                    }
                )
    return chosen


def elsewhere(chosen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Times of the chosen networks under other runtimes, threads, arithmetic and size of images."""
    added = []
    for name, (device, resolution) in ELSEWHERE.items():
        archs = [network(r["blocks"], r["form"], r["width"], resolution) for r in chosen]
        for record, share in zip(chosen, shares(archs, device, 3, rounds=7, visit_ms=8.0), strict=True):
            added.append(
                {
                    "kind": "elsewhere",
                    "setting": name,
                    **{key: record[key] for key in ("blocks", "form", "target")},
                    "share": share.share,
                    "ms": share.ms,
                }
            )
    return added


def train(root: str, arch_json: str, images: str, seed: int) -> dict[str, float]:
    """Train one network from scratch; figures on all 10,000 test images."""
    torch.set_num_threads(1)
    recipe = RECIPES[images]
    net = training.build_network(Arch.from_json(arch_json), recipe, seed=seed)
    return training.train(
        net, fashion_mnist(root, 32, IMAGES[images]), recipe, seed=seed, accelerator=make_accelerator("cpu")
    )


def collect(root: str, out: Path, processes: int, seeds: int, whole: int) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    file = out / "results.jsonl"
    finished = records.finished(file)

    def add(new: list[dict[str, Any]]) -> None:
        finished.extend(new)
        records.write(file, finished)

    if not any(r["kind"] == "network" for r in finished):
        add(choose())
    chosen = [r for r in finished if r["kind"] == "network"]
    done = {(r["blocks"], r["form"], r["target"], r["images"], r["seed"]) for r in finished if r["kind"] == "training"}
    jobs = [
        (record, images, seed)
        for images, count in (("10,000", seeds), ("60,000", whole))
        for seed in range(count)
        for record in sorted(chosen, key=_order)
        if (record["blocks"], record["form"], record["target"], images, seed) not in done
    ]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [(*job, pool.submit(train, root, network(*_key(job[0])).to_json(), job[1], job[2])) for job in jobs]
        for record, images, seed, future in futures:
            figures = future.result()
            new = {
                "kind": "training",
                **{key: record[key] for key in ("blocks", "form", "target")},
                "images": images,
                "seed": seed,
                "top1_percent": figures["top1_percent"],
                "train_seconds": figures["train_seconds"],
            }
            add([new])
            print(json.dumps(new), flush=True)
    if not any(r["kind"] == "elsewhere" for r in finished):
        add(elsewhere(chosen))


def _order(record: dict[str, Any]) -> tuple[bool, float, int]:
    """One latency after the other, the middle one first: an interrupted run has all forms of some."""
    return record["target"] != TARGETS[1], record["target"], [*FORMS[record["blocks"]]].index(record["form"])


def _key(record: dict[str, Any]) -> tuple[str, str, float]:
    return record["blocks"], record["form"], record["width"]


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/dense_or_depthwise",
        collect,
        report,
        processes=(2, "single-threaded worker processes"),
        seeds=(3, "trainings of each network on 10,000 images"),
        whole=(3, "trainings of each network on all 60,000 images"),
    )
