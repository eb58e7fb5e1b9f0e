"""`python -m nas.train arch=A data=D recipe=Q`: train an arch.json or a published network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from omegaconf import DictConfig

from nas.data import ImageData
from nas.data.card import data_of
from nas.networks import model_folder, weights
from nas.networks.creation import resolve
from nas.networks.network import FlatNetwork, Network
from nas.runs import resuming
from nas.runs.files import write_text
from nas.runs.run import Run
from nas.terminal.configuration import cards
from nas.terminal.configuration.override_text import command
from nas.terminal.entry import check_types, entry, plain
from nas.terminal.next_command import data_settings
from nas.terminal.progress import format_seconds, log, phase, table
from nas.train import averaging, training
from nas.train.accelerator import make_accelerator
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

CHECKPOINT = "checkpoints/train.pt"


@entry("train")
def main(cfg: DictConfig) -> None:
    types = {"arch": str, "initial_weights": str | None, "evaluate_every": int, "seed": int}
    check_types(cfg, types | {"accelerator": str, "precision": str})
    config = plain(cfg)
    if config["evaluate_every"] < 0:
        raise ValueError(f"evaluate_every must be 0 or greater, got {config['evaluate_every']}")
    accelerator = make_accelerator(config["accelerator"], config["precision"])
    recipe: Recipe = cards.build(config["recipe"], "recipe", {})
    stored = Path(config["resume"]) / "arch.json" if config["resume"] else None
    source = resolve(stored if stored is not None and stored.exists() else config["arch"])
    data = data_of(config["data"], None if is_published_name(config["arch"]) else source.arch.resolution)
    arch = fitted(source.arch, data)
    network = training.build_network(arch, recipe, seed=config["seed"])
    if config["initial_weights"] and not is_begun(config["resume"]):
        weights.load(network, weights.read_weights(config["initial_weights"]), config["initial_weights"])
    with shared_run(accelerator, config) as (path, run):
        if run is None:  # another process logs and writes
            training.train(
                network,
                data,
                recipe,
                seed=config["seed"],
                accelerator=accelerator,
                checkpoint=path / CHECKPOINT,
                evaluate_every=config["evaluate_every"],
                may_change=resuming.MAY_CHANGE,
            )
            return
        write_text(path / "arch.json", arch.to_json())
        log(intention(short_name(config["arch"]), source.arch, arch, data, recipe))
        figures = _train(run, network, data, recipe, accelerator, config)
        record = result(config, arch, data, figures)
        model_folder.write(
            path / "model",
            network.cpu(),
            data=data,
            metrics=record,
            recipe=recipe,
            family=zoo.FAMILY_OF.get(config["arch"]),
            origin=f"Trained on {data.name} for {recipe.epochs} epochs.",
        )
        run.write_json("result.json", record)
        show(path, arch, data_settings(config["data"]), figures)


def is_begun(resume: str | None) -> bool:
    """Whether the run to be resumed has a training checkpoint, which supersedes the weights it began with."""
    return resume is not None and training.finished_epochs(Path(resume) / CHECKPOINT) > 0


@contextmanager
def shared_run(accelerator: Accelerator, config: dict[str, Any]) -> Iterator[tuple[Path, Run | None]]:
    """The run directory, and the `Run` that holds it: None in all processes but the main one."""
    run = None
    if accelerator.is_main_process:
        run = Run.open(config["run_dir"], config["resume"], f"train-{short_name(config['arch'])}", config)
    with nullcontext() if run is None else run:
        path = [None if run is None else str(run.path)]
        if accelerator.num_processes > 1:
            broadcast_object_list(path)
        assert path[0] is not None
        yield Path(path[0]), run


def _train(
    run: Run,
    network: Network | FlatNetwork,
    data: ImageData,
    recipe: Recipe,
    accelerator: Accelerator,
    config: dict[str, Any],
) -> dict[str, float]:
    done = training.finished_epochs(run.path / CHECKPOINT)
    run.rewind("train", done)
    steps = training.steps_per_epoch(data, recipe)
    with phase("training", recipe.epochs * steps, "step", completed=done * steps) as advance:

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            run.log("train", epoch, **record)
            tested = f", {record['top1_percent']:.2f}% top-1" if "top1_percent" in record else ""
            advance(0, f"epoch {epoch + 1}/{recipe.epochs}: loss {record['train_loss']:.3f}{tested}")

        figures = training.train(
            network,
            data,
            recipe,
            seed=config["seed"],
            accelerator=accelerator,
            checkpoint=run.path / CHECKPOINT,
            on_epoch=on_epoch,
            on_step=advance,
            evaluate_every=config["evaluate_every"],
            may_change=resuming.MAY_CHANGE,
        )
    if sentence := averaging.verdict(figures):
        log(sentence)
    return figures


def is_published_name(arch: str) -> bool:
    """Whether `arch` names a published network rather than a file or folder."""
    return arch.partition(".")[0] in zoo.FAMILY_OF and not Path(arch).exists()


def short_name(arch: str) -> str:
    """What a run directory is called after `arch`: a published name, or the name of the file or its folder."""
    path = Path(arch)
    return path.name if path.suffix != ".json" else (path.stem if path.stem != "arch" else path.resolve().parent.name)


def fitted(arch: Arch, data: ImageData) -> Arch:
    """`arch` for the images and classes of `data`; its layers stay as they are."""
    fit = dataclasses.replace(arch, resolution=data.resolution, in_channels=data.in_channels)
    return fit.with_classes(data.num_classes)


def intention(name: str, given: Arch, arch: Arch, data: ImageData, recipe: Recipe) -> str:
    """What is about to happen, and how the network was changed for it."""
    lines = [
        f"{name}: {arch.params:,} parameters, {arch.macs:,} multiply-adds, on {data.name} "
        f"({len(data.train):,} training and {len(data.test):,} test images of "
        f"{data.in_channels}x{data.resolution}x{data.resolution}, {data.num_classes} classes), {recipe.epochs} epochs"
    ]
    for what, was, now in (
        ("classes", given.num_classes, arch.num_classes),
        ("input channels", given.in_channels, arch.in_channels),
        ("resolution", given.resolution, arch.resolution),
    ):
        if was != now:
            lines.append(f"{what} changed from {was} to {now} to fit the data")
    return "\n".join(lines)


def result(config: dict[str, Any], arch: Arch, data: ImageData, figures: dict[str, float]) -> dict[str, Any]:
    """`result.json`; what a training does not know is null."""
    return {
        "space": None,
        "method": None,
        "arch": config["arch"],
        "arch_id": arch.id,
        "data": data.name,
        "seed": config["seed"],
        "device": None,
        "asked_latency_ms": None,
        "estimated_latency_ms": None,
        "measured_latency_ms": None,
        "params": arch.params,
        "macs": arch.macs,
        "activations": arch.activations,
        "top1_percent": figures["top1_percent"],
        "top5_percent": figures["top5_percent"],
        "loss": figures["loss"],
        "kept_average": figures.get("kept_average"),
        "search_seconds": None,
        "train_seconds": figures["train_seconds"],
    }


def show(path: Path, arch: Arch, data: str, figures: dict[str, float]) -> None:
    rows = [
        ("test accuracy", f"{figures['top1_percent']:.2f}% top-1, {figures['top5_percent']:.2f}% top-5"),
        ("parameters", f"{arch.params:,}"),
        ("multiply-adds", f"{arch.macs:,}"),
        ("training took", format_seconds(figures["train_seconds"])),
        ("model folder", f"{path}/model"),
    ]
    table(f"result of {path}", ("", ""), rows)
    # not in the table, whose cells are folded where a terminal is narrow
    log(f"next: {command('evaluate', {'arch': f'{path}/model'})} {data}")


if __name__ == "__main__":
    main()
