"""`python -m nas.search space=S method=M data=D device=V budget.latency_ms=X`: from a device to a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from nas import cards, model_folder, training
from nas.cli import DictConfig, check_types, entry, plain
from nas.data import ImageData
from nas.derivation import How
from nas.engine import make_accelerator
from nas.handover import Derived, derive_and_measure, write_archs, write_probabilities
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.table import LatencyTable
from nas.methods.base import SearchMethod, SearchResult, Task
from nas.problem import Budget, build_space, check_budget, layerwise, resolve_budget
from nas.progress import format_seconds, log, phase, table
from nas.report_page import write_report
from nas.runs import Run
from search_spaces.additive import AdditiveCost
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from search_spaces.space import LayerwiseSpace


@entry("search")
def main(cfg: DictConfig) -> None:
    check_types(
        cfg,
        {
            "seed": int,
            "budget.latency_ms": float | None,
            "budget.fraction": (float | None, 0, 1),
            "budget.margin": (float | None, 0),
            "budget.tolerance": (float, 0),
            "budget.rounds": (int, 1),
            "derive.how": How,
            "derive.count": (int, 1),
            "train.enabled": bool,
            "train.inherit": bool,
            "tables": str,
        },
    )
    config = plain(cfg)
    check_budget(config["budget"]["latency_ms"])
    # everything that can be wrong in the input is found before a run directory exists
    accelerator = make_accelerator(config["accelerator"], config["precision"])
    resolution = config["space"].get("resolution") or config["data"].get("resolution")
    data: ImageData = cards.build({**config["data"], "resolution": resolution}, "data", {})
    space = layerwise(build_space(config["space"], data))
    device: Device = cards.build(config["device"], "device", {})
    method: SearchMethod = cards.build(config["method"], "method", {})
    recipe: Recipe = cards.build(config["recipe"], "recipe", {})
    names = {key: config[key]["_target_"].rpartition(".")[2].lower() for key in ("space", "method")}
    with Run.open(config["run_dir"], config["resume"], f"{names['space']}-{names['method']}", config) as run:
        latency_table = _table(run, space, device, config)
        cost = latency_table.cost(space)
        budget = _budget(cost, latency_table, config["budget"])
        log(_intention(space, data, device, latency_table, budget))
        result = _search(run, method, space, data, cost, budget, accelerator, config["seed"])
        write_probabilities(run.path, space, result.probabilities)
        derived = derive_and_measure(
            run.path,
            space,
            result,
            cost,
            budget,
            device,
            **config["derive"],
            tolerance=config["budget"]["tolerance"],
            rounds=config["budget"]["rounds"],
            seed=config["seed"],
        )
        arch = space.decode(derived.genotype)
        archs = write_archs(run.path, space, derived.genotypes)
        figures: dict[str, float] = {}
        network = training.build_network(arch, recipe, seed=config["seed"])
        if config["train"]["inherit"] and result.inherit is not None:
            network.load_state_dict(result.inherit(derived.genotype).state_dict())
        if config["train"]["enabled"]:
            figures = _train(run, network, data, recipe, accelerator, config["seed"])
        record = _record(config, names, data, device, latency_table, budget, derived, arch, figures, result.seconds)
        run.write_json("result.json", record)
        if figures:
            origin = f"Found by searching the {names['space']} space with {names['method']} for {device.key}."
            model_folder.write(
                run.path / "model",
                network.cpu(),
                data=data,
                metrics=record,
                recipe=recipe,
                family=names["space"],
                origin=origin,
            )
        write_report(run.path)
        _show(run, space, derived, archs, record)


def _table(run: Run, space: LayerwiseSpace, device: Device, config: dict[str, Any]) -> LatencyTable:
    """The device's table, copied into the run: a resumed run prices with the very numbers it began with."""
    path = run.path / "table.json"
    if path.exists():
        return LatencyTable.load(path, space, device)
    found = build_table(space, device, config["tables"], seed=config["seed"])
    found.save(path)
    return found


def _budget(cost: AdditiveCost, latency_table: LatencyTable, asked: dict[str, Any]) -> Budget | None:
    margin = latency_table.margin if asked["margin"] is None else asked["margin"]
    return resolve_budget(cost, asked["latency_ms"], asked["fraction"], margin)


def _intention(
    space: LayerwiseSpace, data: ImageData, device: Device, latency_table: LatencyTable, budget: Budget | None
) -> str:
    images = f"{data.in_channels}x{space.skeleton.resolution}x{space.skeleton.resolution}"
    parts = [f"{space.name}: {space.size:.2g} networks on {data.name} ({images}, {data.num_classes} classes)"]
    parts.append(f"device {device.key}")
    if latency_table.proof:
        parts.append(f"table: {latency_table.proof.sentence()}")
    if budget:
        parts.append(
            f"budget {budget.asked_ms:.4g} ms of {budget.low_ms:.4g} to {budget.high_ms:.4g} ms reachable; "
            f"estimates are kept below {budget.limit_ms:.4g} ms (margin {100 * budget.margin:.1f}%)"
        )
    return "\n".join(parts)


def _search(
    run: Run,
    method: SearchMethod,
    space: LayerwiseSpace,
    data: ImageData,
    cost: AdditiveCost,
    budget: Budget | None,
    accelerator: Any,
    seed: int,
) -> SearchResult:
    checkpoint = run.checkpoints / "search.pt"
    done = method.finished(checkpoint)
    run.rewind("search", done)
    with phase("searching", method.epochs, "epoch", completed=done) as advance:

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            run.log("search", epoch, **record)
            advance(1, f"loss {record['weight_loss']:.3f}, expected {record['expected_latency_ms']:.4g} ms")

        limit_ms = budget.limit_ms if budget else None
        return method.search(Task(space, data, cost, limit_ms, seed, accelerator, checkpoint, on_epoch))


def _train(
    run: Run, network: nn.Module, data: ImageData, recipe: Recipe, accelerator: Any, seed: int
) -> dict[str, float]:
    checkpoint = run.checkpoints / "train.pt"
    done = training.finished_epochs(checkpoint)
    run.rewind("train", done)
    steps = data.train.num_batches(recipe.batch_size, drop_last=True)
    with phase("training the network", recipe.epochs * steps, "step", completed=done * steps) as advance:
        figures = training.train(
            network,
            data,
            recipe,
            seed=seed,
            accelerator=accelerator,
            checkpoint=checkpoint,
            on_epoch=lambda epoch, record: run.log("train", epoch, **record),
            on_step=advance,
        )
    return figures


def _record(
    config: dict[str, Any],
    names: dict[str, str],
    data: ImageData,
    device: Device,
    latency_table: LatencyTable,
    budget: Budget | None,
    derived: Derived,
    arch: Arch,
    figures: dict[str, float],
    search_seconds: float,
) -> dict[str, Any]:
    """`result.json`: what was asked, estimated and measured, and what it cost. Not applicable is null."""
    inherited = config["train"]["enabled"] and config["train"]["inherit"]
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
        "arch": arch.id,
        "genotype": list(derived.genotype),
        "params": arch.params,
        "macs": arch.macs,
        "activations": arch.activations,
        "top1_percent": figures.get("top1_percent"),
        "top5_percent": figures.get("top5_percent"),
        "weights": ("inherited from the supernet" if inherited else "from scratch") if figures else None,
        "search_seconds": search_seconds,
        "train_seconds": figures.get("train_seconds"),
        "table_proof": latency_table.proof.to_dict() if latency_table.proof else None,
    }


def _show(run: Run, space: LayerwiseSpace, derived: Derived, archs: list[Path], record: dict[str, Any]) -> None:
    """The end of a run: chosen block per layer, the receipt, where the files are, what to type next."""
    rows = []
    for position, gene in zip(space.positions, derived.genotype, strict=True):
        c, h, w = position.shape
        layer = position.candidates[gene]
        rows.append((position.name, layer.label, f"{c}x{h}x{w}", layer.out_shape(position.shape).channels))
    table("chosen blocks", ("layer", "block", "input", "out"), rows)

    def ms(key: str) -> str:
        return "–" if record[key] is None else f"{record[key]:.4g} ms"

    receipt = [
        ("latency asked", ms("asked_latency_ms")),
        ("latency estimated", ms("estimated_latency_ms")),
        ("latency measured", ms("measured_latency_ms")),
        ("parameters", f"{record['params']:,}"),
        ("multiply-adds", f"{record['macs']:,}"),
    ]
    if record["top1_percent"] is not None:
        receipt.append(("test accuracy", f"{record['top1_percent']:.2f}% top-1 on {record['data']}"))
        receipt.append(("weights", record["weights"]))
        receipt.append(("training took", format_seconds(record["train_seconds"])))
    receipt.append(("search took", format_seconds(record["search_seconds"])))
    table(f"result of {run.path}", ("", ""), receipt)
    asked, measured = record["asked_latency_ms"], record["measured_latency_ms"]
    if asked is not None and measured > asked:
        log(f"NOTE: measured {measured:.4g} ms is above the asked {asked:.4g} ms; derive again with a smaller budget:")
    log(f"files: {', '.join(str(path) for path in archs)}" + (f", {run.path}/model" if record["top1_percent"] else ""))
    log(f"all of it on one page: {run.path}/report.html")
    if asked is not None:
        log(f"next: python -m nas.derive run={run.path} budget.latency_ms={0.8 * asked:.3g} count=3")


if __name__ == "__main__":
    main()
