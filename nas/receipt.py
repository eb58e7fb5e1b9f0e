"""The end of a search: `result.json`, and what is shown on the screen."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from nas.data import ImageData
from nas.handover import Derived
from nas.latency.device import Device
from nas.latency.table import LatencyTable
from nas.problem import Budget
from nas.progress import format_seconds, log, table
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from search_spaces.space import LayerwiseSpace, SearchSpace


def record(
    config: dict[str, Any],
    names: dict[str, str],
    data: ImageData,
    device: Device,
    latency_table: LatencyTable,
    budget: Budget | None,
    derived: Derived,
    arch: Arch,
    recipe: Recipe,
    figures: dict[str, float],
    inherited: bool,
    search_seconds: float,
    trials: int | None,
    validation_top1_percent: float | None,
) -> dict[str, Any]:
    """`result.json`: what was asked, estimated and measured, and what it cost. Not applicable is null."""
    return {
        "space": names["space"],
        "method": names["method"],
        "data": data.name,
        "seed": config["seed"],
        "device": device.key,
        "asked_latency_ms": budget.asked_ms if budget else None,
        "estimated_latency_ms": derived.estimated_ms,
        "measured_latency_ms": derived.measured_ms,
        "limit_latency_ms": budget.limit_ms if budget else None,
        "reachable_latency_ms": [budget.low_ms, budget.high_ms] if budget else None,
        "asked_macs": config["budget"]["macs"],
        "asked_params": config["budget"]["params"],
        "arch": arch.id,
        "genotype": list(derived.genotype),
        "params": arch.params,
        "macs": arch.macs,
        "activations": arch.activations,
        "top1_percent": figures.get("top1_percent"),
        "top5_percent": figures.get("top5_percent"),
        "weights": ("inherited from the supernet" if inherited else "from scratch") if figures else None,
        "recipe": recipe.to_dict(),
        "trials": trials,
        "validation_top1_percent": validation_top1_percent,
        "search_seconds": search_seconds,
        "train_seconds": figures.get("train_seconds"),
        "table_proof": latency_table.proof.to_dict() if latency_table.proof else None,
    }


def show(path: Path, space: SearchSpace, derived: Derived, archs: list[Path], found: dict[str, Any]) -> None:
    """Chosen block per layer, the receipt, where the files are, what to type next."""
    if isinstance(space, LayerwiseSpace):
        rows = []
        for position, gene in zip(space.positions, derived.genotype, strict=True):
            c, h, w = position.shape
            layer = position.candidates[gene]
            rows.append((position.name, layer.label, f"{c}x{h}x{w}", layer.out_shape(position.shape).channels))
        table("chosen blocks", ("layer", "block", "input", "out"), rows)
    else:
        choices = [(v.name, v.choices[g]) for v, g in zip(space.variables, derived.genotype, strict=True)]
        table("chosen", ("variable", "choice"), choices)

    def ms(key: str) -> str:
        return "–" if found[key] is None else f"{found[key]:.4g} ms"

    receipt = [
        ("latency asked", ms("asked_latency_ms")),
        ("latency estimated", ms("estimated_latency_ms")),
        ("latency measured", ms("measured_latency_ms")),
        ("parameters", f"{found['params']:,}"),
        ("multiply-adds", f"{found['macs']:,}"),
    ]
    asked_counts = (("multiply-adds asked", "asked_macs"), ("parameters asked", "asked_params"))
    receipt += [(label, f"at most {found[key]:,}") for label, key in asked_counts if found[key] is not None]
    if found["trials"] is not None:
        receipt.append(("candidates trained", f"{found['trials']}"))
        receipt.append(("validation accuracy", f"{found['validation_top1_percent']:.2f}% top-1 in the search"))
    if found["top1_percent"] is not None:
        receipt.append(("test accuracy", f"{found['top1_percent']:.2f}% top-1 on {found['data']}"))
        receipt.append(("weights", found["weights"]))
        receipt.append(("training took", format_seconds(found["train_seconds"])))
    receipt.append(("search took", format_seconds(found["search_seconds"])))
    table(f"result of {path}", ("", ""), receipt)
    asked, measured = found["asked_latency_ms"], found["measured_latency_ms"]
    log(f"files: {', '.join(str(arch) for arch in archs)}" + (f", {path}/model" if found["top1_percent"] else ""))
    log(f"all of it on one page: {path}/report.html")
    if asked is not None and measured > asked:
        log(f"NOTE: measured {measured:.4g} ms is above the asked {asked:.4g} ms; a smaller budget leaves more room")
    log(" ".join(["next: python -m nas.derive", shlex.quote(f"run={path}"), *another_budget(found), "count=3"]))


def another_budget(found: dict[str, Any]) -> list[str]:
    """A setting of `nas.derive` that the run can answer, from its result: a tighter latency if that is in reach."""
    if found["trials"] is not None and found["method"] != "predictor":
        return []  # it knows the candidates it trained: more of them within its own budget
    if found["asked_latency_ms"] is None:
        return ["budget.fraction=0.3"]
    low, high = found["reachable_latency_ms"]
    tighter = float(f"{0.8 * found['asked_latency_ms']:.3g}")
    return [f"budget.latency_ms={tighter if tighter > low else (low + high) / 2:.3g}"]
