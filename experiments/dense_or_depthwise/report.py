"""The tables of `results.jsonl`."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

import numpy as np

from experiments import records
from experiments.dense_or_depthwise.networks import FORMS
from experiments.equal_latency import mean_interval

NEAR = 1.3


def report(file: Path) -> None:
    """Print what is in `file`."""
    found = records.read(file)
    networks = [r for r in found if r["kind"] == "network"]
    for images in ("10,000", "60,000"):
        runs = [r for r in found if r["kind"] == "training" and r["images"] == images]
        if runs:
            print(f"Fashion-MNIST, {images} training images, {len(runs)} trainings\n")
            _networks(networks, runs)
            _kinds(networks, runs)
    _elsewhere(networks, [r for r in found if r["kind"] == "elsewhere"])


def _mine(rows: list[dict[str, Any]], **values: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in values.items())]


def _networks(networks: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    print("| share asked | blocks | form | width | MACs (M) | share measured | top-1 %, mean of seeds (range), seeds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for target in sorted({r["target"] for r in networks}):
        for network in _mine(networks, target=target):
            mine = [r["top1_percent"] for r in _mine(runs, target=target, **_name(network))]
            if mine:
                low, high = network["share_range"]
                print(
                    f"| {target} | {network['blocks']} | {network['form']} | {network['width']:.2f} "
                    f"| {network['macs'] / 1e6:.2f} | {network['share']:.3f} ({low:.3f} to {high:.3f}) "
                    f"| {fmean(mine):.2f} ({min(mine):.2f} to {max(mine):.2f}), {len(mine)} |"
                )
    print()


def _name(record: dict[str, Any]) -> dict[str, Any]:
    return {"blocks": record["blocks"], "form": record["form"]}


def _kinds(networks: list[dict[str, Any]], runs: list[dict[str, Any]]) -> None:
    """Means over forms at exactly the share asked, with intervals over forms, and the best form.

    Of each form, top-1 is read between its networks that are trained, linearly in the logarithm of their shares. A form
    whose narrowest network takes up to `NEAR` times the share counts with that one, in its favour; others are left out.
    """
    print("| share | blocks | forms | mean, 95% interval | best form |")
    print("| --- | --- | --- | --- | --- |")
    for target in sorted({r["target"] for r in runs}):
        for kind in FORMS:
            means: dict[str, float] = {}
            for form in FORMS[kind]:
                ordered = sorted(_mine(networks, blocks=kind, form=form), key=lambda r: r["share"])
                both = [(r["share"], _mine(runs, blocks=kind, form=form, target=r["target"])) for r in ordered]
                shares, trained = [share for share, found in both if found], [found for _, found in both if found]
                if len(trained) > 1 and shares[0] / NEAR <= target <= shares[-1] * NEAR:
                    top1 = [fmean(r["top1_percent"] for r in found) for found in trained]
                    means[form] = float(np.interp(np.log(target), np.log(shares), top1))
            if len(means) > 1:
                mean, half = mean_interval(list(means.values()))
                best = max(means, key=means.__getitem__)
                print(f"| {target} | {kind} | {len(means)} | {mean:.2f} ± {half:.2f} | {best}: {means[best]:.2f} |")
    print()


def _elsewhere(networks: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """By how much the kinds' times change elsewhere, beside what they are by ONNX Runtime on one thread."""
    if not rows:
        return
    print("| setting | " + " | ".join(f"{kind}, time over dense" for kind in FORMS) + " |")
    print("| --- |" + " --- |" * len(FORMS))
    for setting in dict.fromkeys(r["setting"] for r in rows):
        ratio = {
            kind: geometric_mean(
                row["ms"] / network["ms"]
                for row in _mine(rows, setting=setting, blocks=kind)
                for network in _mine(networks, target=row["target"], **_name(row))
            )
            for kind in FORMS
        }
        print(f"| {setting} | " + " | ".join(f"{ratio[kind] / ratio['dense']:.2f}" for kind in FORMS) + " |")
