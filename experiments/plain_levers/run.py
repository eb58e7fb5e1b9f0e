"""What helps a small plain network at equal measured latency? (see README.md)"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments import records
from experiments.collecting import collect_or_report
from experiments.dense_or_depthwise.timing import shares
from experiments.equal_latency import mean_interval
from experiments.plain_levers.networks import FORMS
from experiments.wins.setting import DATASETS, Setting
from nas.data.images import ImageData
from nas.latency.device import Device
from nas.train import training
from nas.train.accelerator import make_accelerator
from search_spaces.arch import Arch

MOST_MACS = 20e6
JUDGES = 10_000  # images that judge: training images that none of these networks is trained on
BASE = next(iter(FORMS))
Record = dict[str, Any]


def chosen(names: Sequence[str], target: float, processes: int, known: Sequence[Record] = ()) -> list[Record]:
    """Of the base the width whose time is nearest to `target` of the reference network's, of every other form the
    widest that takes no longer than the base, which is in `names` or `known`; as records."""
    archs = {
        (name, width): arch for name in names for width, arch in FORMS[name].ladder().items() if arch.macs <= MOST_MACS
    }
    found = dict(zip(archs, shares(list(archs.values()), Device(), processes, rounds=7), strict=True))
    lines: list[Record] = []
    for name in names:
        base = next((line["share"] for line in (*known, *lines) if line["form"] == BASE), math.inf)
        mine = {width: share for (form, width), share in found.items() if form == name}
        quick = [width for width in mine if mine[width].share <= base]
        width = max(quick, default=min(mine))
        if name == BASE:
            width = min(mine, key=lambda w: abs(math.log(mine[w].share / target)))
        arch, share = archs[name, width], mine[width]
        lines.append(
            {
                "kind": "network",
                "form": name,
                "width": width,
                "share": share.share,
                "share_range": [share.low, share.high],
                "ms": share.ms,
                "macs": arch.macs,
                "params": arch.params,
                "arch": arch.to_dict(),
            }
        )
    return lines


def judged(root: str, dataset: str, images: int, resolution: int) -> ImageData:
    """`images` training images, tested on `JUDGES` other ones of the training split: test images stay unseen."""
    whole = DATASETS[dataset](root, resolution)
    return dataclasses.replace(
        whole.held_out(1 - JUDGES / len(whole.train.labels), 0),
        train=whole.split_train(images / len(whole.train.labels), 0)[0],
    )


def trained(setting: Setting, root: str, arch: Arch, seed: int) -> Record:
    """`arch`, for these images, trained with the recipe of `experiments/wins` on what is not held out."""
    size = arch.input_shape.height
    arch = dataclasses.replace(arch, in_channels=setting.in_channels)
    data, began = judged(root, setting.dataset, setting.images, size), time.process_time()
    network = training.build_network(arch, setting.recipe, seed=seed)
    figures = training.train(network, data, setting.recipe, seed=seed, accelerator=make_accelerator("cpu"))
    taken = time.process_time() - began
    return {"top1_percent": figures["top1_percent"], "loss": figures["loss"], "processor_seconds": taken}


def collect(
    data: str, out: Path, *, seeds: int, images: int, epochs: int, dataset: str, forms: str, target: str, processes: int
) -> None:
    """Run what is missing: all networks with a seed before the next one begins."""
    file = out / "results.jsonl"
    found = records.finished(file)
    setting = Setting(dataset, images, epochs)
    names = forms.split("; ") if forms else list(FORMS)
    measured = {r["form"] for r in found if r["kind"] == "network"}
    if new := [name for name in names if name not in measured]:
        found += chosen(new, float(target), processes, [r for r in found if r["kind"] == "network"])
        records.write(file, found)
    lines = {r["form"]: r for r in found if r["kind"] == "network"}
    done = {(r["form"], r["seed"]) for r in found if r["kind"] == "training"}
    for seed in range(seeds):
        for name in names:
            if (name, seed) not in done:
                what = trained(setting, data, Arch.from_dict(lines[name]["arch"]), seed)
                found.append({"kind": "training", "form": name, "seed": seed, **what})
                records.write(file, found)
                print(json.dumps(found[-1]), flush=True)


def report(file: Path) -> None:
    """A table of forms, with differences to the first, paired by seed."""
    found = records.read(file)
    of: dict[str, dict[int, float]] = {}
    for r in found:
        if r["kind"] == "training":
            of.setdefault(r["form"], {})[r["seed"]] = r["top1_percent"]
    base = of[next(iter(of))]
    print("| form | width | share of the reference's time | MACs (M) | top-1 % | less base |")
    print("| --- | --- | --- | --- | --- | --- |")
    for line in (r for r in found if r["kind"] == "network" and r["form"] in of):
        mine = of[line["form"]]
        gains = [value - base[seed] for seed, value in mine.items() if seed in base]
        mean, half = mean_interval(gains) if len(gains) > 1 else (gains[0], None)
        gain = f"{mean:+.2f}" if half is None else f"{mean:+.2f} ± {half:.2f}"
        print(
            f"| {line['form']} | {line['width']:.2f} | {line['share']:.4f} | {line['macs'] / 1e6:.2f} "
            f"| {fmean(mine.values()):.2f} ({len(mine)}) | {gain} |"
        )


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/plain_levers",
        collect,
        report,
        seeds=(3, "trainings of each network"),
        images=(10_000, "training images; at most what the judging ones leave"),
        epochs=(10, "of every training"),
        dataset=("fashion_mnist", "or cifar10; times are of one input channel for both"),
        forms=("", "names of networks.py, by '; '; none: all"),
        target=("0.06", "of the reference network's time"),
        processes=(5, "that measure"),
    )
