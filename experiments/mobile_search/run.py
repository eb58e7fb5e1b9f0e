"""Does search pay in `space=mobile`? Found networks against hand-made ones of equal latency (see README.md)."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from experiments import records
from experiments.collecting import collect_or_report
from experiments.dense_or_depthwise.networks import ladder, network
from experiments.dense_or_depthwise.run import MOST_MACS, RECIPES, train
from experiments.dense_or_depthwise.timing import shares
from experiments.equal_latency import mean_interval
from experiments.records import Results
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.runs.files import read_json
from search_spaces.arch import Arch
from search_spaces.families.mobile.space import mobile

IMAGES = "10,000"
TRIALS, FINALISTS = 48, 4  # trainings of a search, the finalists (of the predictor) among them
SEARCH_EPOCHS = 3
METHODS = ("predictor", "random")
SEVEN = ("dense", "seven", 1.0)
FORMS = ("conv_k3", "fused_k3_e4", "ds_k3", "ir_k3_e3", "ir_k3_e6", "ir_k5_e4", "uib_a3_k5_e4")


def budget_ms(out: Path) -> tuple[float, dict[str, Any]]:
    """The seven convolutions' latency at the table's conditions, and the MobileNetV2 nearest to it."""
    file = out / "budget.json"
    if not file.exists():
        widths = ladder("depthwise", "MobileNetV2")
        archs = [network(*SEVEN), *widths.values()]
        seven, *others = shares([a for a in archs if a.macs < MOST_MACS], Device(), 5)
        width, share = min(zip(widths, others, strict=False), key=lambda pair: abs(pair[1].share / seven.share - 1))
        table = build_table(mobile(32, 10, 1, forms=FORMS), Device(), out / "tables")
        found = {
            "budget_ms": seven.share * table.environment["calm_ms"]["6m"],
            "seven_share": seven.share,
            "mobilenetv2_width": width,
            "mobilenetv2_share": share.share,
        }
        file.write_text(json.dumps(found))
    found = json.loads(file.read_text())
    return found["budget_ms"], found


def search(root: str, out: Path, method: str, seed: int, latency_ms: float) -> dict[str, Any]:
    """One `python -m nas.search`, continued where it was interrupted; the network handed over."""
    folder = out / f"{method}-{seed}"
    finalists = FINALISTS if method == "predictor" else 0
    recipe = RECIPES[IMAGES]
    settings = [
        "space=mobile",
        f"space.forms=[{','.join(FORMS)}]",
        f"method={method}",
        f"seed={seed}",
        "data=fashion_mnist",
        f"data.root={root}",
        "data.train_limit=10000",
        f"budget.latency_ms={latency_ms!r}",
        "budget.tolerance=0.1",
        f"search.trials={TRIALS}",
        f"search.finalists={finalists}",
        f"recipe.epochs={SEARCH_EPOCHS}",
        f"recipe.batch_size={recipe.batch_size}",
        f"recipe.lr={recipe.lr}",
        "recipe.warmup_epochs=0.5",
        "recipe.label_smoothing=0",
        "train.enabled=false",
        f"tables={out / 'tables'}",
        f"run_dir={folder}",
    ]
    if (folder / "config.yaml").exists():
        settings = [f"resume={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "nas.search", *settings], env=environment, stdout=subprocess.DEVNULL)
    if done.returncode > 1:  # 1: a budget that was missed; it is shown
        done.check_returncode()
    result = read_json(folder / "result.json", "result")
    arch = Arch.load(folder / "arch.json")
    return {
        "kind": "search",
        "method": method,
        "seed": seed,
        "arch": arch.to_dict(),
        "macs": arch.macs,
        **{key: result[key] for key in ("asked_latency_ms", "estimated_latency_ms", "measured_latency_ms")},
        "search_seconds": result["search_seconds"],
    }


def collect(root: str, out: Path, seeds: int) -> None:
    """Run what is missing; every finished piece is a line of `results.jsonl`, so an interrupted run continues."""
    results = Results(out / "results.jsonl")
    finished, add = results.found, results.add

    latency_ms, made = budget_ms(out)
    hand_made = {
        "seven convolutions": network(*SEVEN),
        "MobileNetV2": network("depthwise", "MobileNetV2", made["mobilenetv2_width"]),
    }
    for seed in range(seeds):
        for method in METHODS:
            if not any(r["kind"] == "search" and (r["method"], r["seed"]) == (method, seed) for r in finished):
                add(search(root, out, method, seed, latency_ms))
        archs = hand_made | {
            r["method"]: Arch.from_dict(r["arch"]) for r in finished if r["kind"] == "search" and r["seed"] == seed
        }
        for name, arch in archs.items():
            if not any(r["kind"] == "training" and (r["name"], r["seed"]) == (name, seed) for r in finished):
                figures = train(root, arch.to_json(), IMAGES, seed)
                add({"kind": "training", "name": name, "seed": seed, "top1_percent": figures["top1_percent"]})
    if not any(r["kind"] == "share" for r in finished):
        found = [(r["method"], r["seed"], Arch.from_dict(r["arch"])) for r in finished if r["kind"] == "search"]
        found += [(name, None, arch) for name, arch in hand_made.items()]
        for (name, seed, arch), share in zip(found, shares([arch for *_, arch in found], Device(), 5), strict=True):
            add({"kind": "share", "name": name, "seed": seed, "share": share.share, "macs": arch.macs})


def report(file: Path) -> None:
    """The table of `results.jsonl`."""
    found = records.read(file)
    print("| network | share of the reference's time | MACs (M) | top-1 %, mean and 95% interval | seeds |")
    print("| --- | --- | --- | --- | --- |")
    top1: dict[str, dict[int, float]] = {}
    for r in found:
        if r["kind"] == "training":
            top1.setdefault(r["name"], {})[r["seed"]] = r["top1_percent"]
    for name, by_seed in top1.items():
        measured = [r for r in found if r["kind"] == "share" and r["name"] == name]
        times = ", ".join(f"{r['share']:.3f}" for r in measured) or "-"
        macs = ", ".join(f"{r['macs'] / 1e6:.2f}" for r in measured) or "-"
        values = list(by_seed.values())
        shown = "{:.2f} ± {:.2f}".format(*mean_interval(values)) if len(values) > 1 else f"{values[0]:.2f}"
        print(f"| {name} | {times} | {macs} | {shown} | {len(by_seed)} |")
    for name, other in itertools.combinations(("predictor", "random", "seven convolutions", "MobileNetV2"), 2):
        common = sorted(top1.get(name, {}).keys() & top1.get(other, {}).keys())
        if len(common) > 1:
            mean, half = mean_interval([top1[name][seed] - top1[other][seed] for seed in common])
            print(f"{name} minus {other}: {mean:+.2f} ± {half:.2f} points, {len(common)} seeds")


if __name__ == "__main__":
    collect_or_report(
        __doc__,
        "runs/mobile_search",
        collect,
        report,
        seeds=(3, "searches of each method"),
    )
