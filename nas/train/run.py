"""One training in a run directory, from its setup to a model folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.networks import model_folder, weights
from nas.networks.creation import epsilon_of
from nas.networks.location import LOCAL, locate
from nas.networks.model_card import About
from nas.networks.network import FlatNetwork, Network
from nas.networks.trained_data import keep_class_names, unsaid
from nas.runs import resuming
from nas.runs.files import read_json, write_text
from nas.runs.run import Run
from nas.terminal.configuration.override_text import command
from nas.terminal.next_command import data_settings
from nas.terminal.notebook.outcome import as_html
from nas.terminal.progress import format_seconds, log, phase, table
from nas.train import averaging, training
from nas.train.answers.guessing import accuracy_words, top5_words
from nas.train.answers.of_run import write_answers
from nas.train.fit import check_fit
from nas.train.loop.pieces import in_pieces
from nas.train.setup import TrainSetup, is_published_name, short_name
from nas.train.several.shared_run import shared_run
from nas.train.start.taken_over import of_other_classes, take_over
from search_spaces import zoo
from search_spaces.arch import Arch
from search_spaces.memory.counted import Counted, amount
from search_spaces.recipe import Recipe

COUNTED = Counted()  # how a training, which knows no device, counts memory and weights
CHECKPOINT = "checkpoints/train.pt"
TAKEN_OVER = "taken_over.json"  # what a run that begins with weights took of them


@dataclass(frozen=True)
class TrainOutcome:
    """The trained `network`, its test `figures`, and the `run_dir` that holds its model folder."""

    setup: TrainSetup
    run_dir: Path
    network: Network | FlatNetwork
    figures: Mapping[str, float]

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return as_html(f"result of {self.run_dir}", receipt(self))

    @property
    def arch(self) -> Arch:
        """The network as it was trained."""
        return self.setup.arch

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The content of `result.json`; what a training does not know is null."""
        setup, arch, figures, taken = self.setup, self.arch, self.figures, self.run_dir / TAKEN_OVER
        return {
            "space": None,
            "method": None,
            "arch": setup.name,
            "arch_id": arch.id,
            "data": setup.data.name,
            "seed": setup.seed,
            "device": None,
            "asked_latency_ms": None,
            "estimated_latency_ms": None,
            "measured_latency_ms": None,
            "params": arch.params,
            "macs": arch.macs,
            "activations": arch.activations,
            "memory_kib": arch.memory_kib(COUNTED),
            "weights_kib": arch.weights_kib(COUNTED),
            "counted": dataclasses.asdict(COUNTED),
            "top1_percent": figures["top1_percent"],
            "top5_percent": figures["top5_percent"],
            "guessing_percent": setup.data.guessing_percent,
            "loss": figures["loss"],
            "kept_average": figures.get("kept_average"),
            "taken_over": read_json(taken, "weights taken over") if taken.exists() else None,
            "search_seconds": None,
            "train_seconds": figures["train_seconds"],
        }


def run_training(setup: TrainSetup) -> TrainOutcome:
    """Train, evaluate and write; of several processes the main one logs and writes.

    Raises `ValueError` and `OSError` for bad input. Interrupted, it leaves a run that `resume` continues.
    """
    arch, recipe = setup.arch, setup.recipe
    network = training.build_network(arch, recipe, seed=setup.seed)
    taken = None
    if not is_begun(setup.resume):  # a checkpoint brings its own
        network.set_batch_norm(_epsilon(setup))
        if (origin := setup.initial_weights) is not None:
            others = of_other_classes(origin, setup.data)
            taken = take_over(network, weights.read_weights(origin), origin, others)
    tuned = setup.tuning.sentence(network)
    pieces = 1 if setup.accumulate == "auto" else setup.accumulate
    # before there is a run that cannot go on
    check_fit(network, setup.data, recipe, setup.compute.here, pieces, setup.tuning)
    here, title = setup.compute.here, f"train-{short_name(setup.name)}"
    with shared_run(here, setup.run_dir, setup.resume, title, setup.stored) as (path, run):
        if run is None:
            return TrainOutcome(setup, path, network, _train(setup, network, path, None))
        run.metrics.track(setup.trackers, setup.stored)
        keep_class_names(run.checkpoints, setup.data)
        write_text(path / "arch.json", arch.to_json())
        log("\n".join(filter(None, (intention(setup), tuned))))
        if taken is not None:
            log(taken.sentence)
            run.write_json(TAKEN_OVER, dataclasses.asdict(taken))
        outcome = TrainOutcome(setup, path, network, _train(setup, network, path, run))
        answers = write_answers(path, network.cpu(), setup.data)
        model_folder.write(
            path / "model",
            network,
            About(
                data=setup.data,
                metrics={**outcome.result, **answers},
                recipe=recipe,
                family=zoo.FAMILY_OF.get(setup.name),
                origin=f"Trained on {setup.data.name} for {_epochs(recipe)}.",
                title=f"{short_name(setup.name)}: {setup.data.name}, {arch.macs / 1e6:.3g} M multiply-adds",
            ),
        )
        run.write_json("result.json", outcome.result)
        show(outcome)
    return outcome


def _epsilon(setup: TrainSetup) -> float | None:
    """Of the norms of a network that begins; None: torch's, as of a run that goes on without the file of its arch."""
    path = Path(setup.name.removeprefix(LOCAL))
    gone = setup.resume is not None and not (is_published_name(setup.name) or path.exists())
    return None if gone and setup.initial_weights is None else epsilon_of(setup.name, setup.initial_weights)


def is_begun(resume: str | None) -> bool:
    """Whether the run to be resumed has a training checkpoint, which supersedes the weights it began with."""
    return resume is not None and training.finished_epochs(Path(resume) / CHECKPOINT) > 0


def _train(setup: TrainSetup, network: Network | FlatNetwork, path: Path, run: Run | None) -> dict[str, float]:
    """Train `network` and return its figures; with `run`, its records and its progress are shown."""
    recipe = setup.recipe
    once = functools.partial(
        training.train, network, setup.data, recipe, seed=setup.seed, accelerator=setup.compute.here
    )

    def train(options: training.Options) -> dict[str, float]:
        if setup.accumulate != "auto":
            return once(options=options)
        images = training.images_per_step(setup.data, recipe)
        return in_pieces(
            lambda count: once(options=dataclasses.replace(options, accumulate=count)),
            *(network, images, path / CHECKPOINT),
        )

    options = training.Options(
        checkpoint=path / CHECKPOINT,
        may_change=resuming.MAY_CHANGE,
        evaluate_every=setup.evaluate_every,
        keeping=setup.keeping,
        distillation=setup.distillation,
        accumulate=1 if setup.accumulate == "auto" else setup.accumulate,
        tuning=setup.tuning,
        quantize=setup.quantize,
        compile="inductor" if setup.compile else None,
    )
    if run is None:
        return train(options)
    done = training.finished_epochs(path / CHECKPOINT)
    resuming.go_on(run, "train", done, path / CHECKPOINT)
    steps = training.steps_per_epoch(setup.data, recipe)
    with phase("training", recipe.epochs * steps, "step", completed=done * steps) as advance:

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            run.log("train", epoch, **record)
            tested = f", {record['top1_percent']:.2f}% top-1" if "top1_percent" in record else ""
            advance(0, f"epoch {epoch + 1}/{recipe.epochs}: loss {record['train_loss']:.3f}{tested}")

        figures = train(dataclasses.replace(options, on_epoch=on_epoch, on_step=advance))
    if sentence := averaging.verdict(figures):
        log(sentence)
    return figures


def intention(setup: TrainSetup) -> str:
    """What is about to happen, and how the network was changed for it."""
    given, arch, data = setup.given, setup.arch, setup.data
    lines = [
        f"{short_name(setup.name)}: {arch.params:,} parameters, {arch.macs:,} multiply-adds, on {data.name} "
        f"({len(data.train):,} training and {len(data.test):,} test images of "
        f"{'x'.join(map(str, data.input_shape))}, {data.num_classes} classes), "
        f"{_epochs(setup.recipe)}"
    ]
    for what, was, now in (
        ("classes", given.num_classes, arch.num_classes),
        ("input channels", given.in_channels, arch.in_channels),
        ("resolution", given.resolution, arch.resolution),
    ):
        if was != now:
            lines.append(f"{what} changed from {was} to {now} to fit the data")
    if setup.resume is None and setup.initial_weights is None:
        lines += _begins_at_random(setup)
    elif setup.resume is None:
        eps = _epsilon(setup) or model_folder.DEFAULT_EPS
        lines += [note] if (note := unsaid(setup.name, setup.initial_weights, data, eps)) else []
    recipe = setup.recipe
    if recipe.batch_size > (images := training.images_per_step(data, recipe)):
        lines.append(f"recipe.batch_size={recipe.batch_size} is more than there are: every step takes all {images:,}")
    for name, why in recipe.idle.items():
        lines.append(f"recipe.{name}={getattr(recipe, name)} counts for nothing: {why}")
    if (told := setup.distillation) is not None:
        size = sum(weight.numel() for weight in told.teacher.parameters())
        lines.append(
            f"learns from {setup.stored['teacher']} ({size:,} parameters): {told.alpha:.0%} of the loss, at "
            f"temperature {told.temperature:g}"
        )
        lines += [told.unsaid] if told.unsaid else []
    if setup.quantize:
        lines.append(
            f"rounded to {setup.quantize} while it learns; the figures are those of its floats, those of eight bits "
            "come with the file: nas.export device.dtype=int8"
        )
    return "\n".join(lines)


def _epochs(recipe: Recipe) -> str:
    return f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''}"


def _begins_at_random(setup: TrainSetup) -> list[str]:
    """What to say where that may not be meant: weights lie beside the arch, or some are frozen."""
    folder = locate(setup.name)
    theirs = setup.name if folder is not None and folder.is_dir() else None
    lines = (
        [f"begins at random, not with the weights of {theirs}: initial_weights={theirs} takes them"] if theirs else []
    )
    if setup.tuning.freeze:
        lines.append("NOTE: what is frozen stays at random, for no initial_weights are given")
    return lines


def receipt(outcome: TrainOutcome) -> list[tuple[str, str]]:
    """The rows of what came of it."""
    path, arch, figures = outcome.run_dir, outcome.arch, outcome.figures
    return [
        ("test accuracy", accuracy_words(outcome.result) + top5_words(figures["top5_percent"], arch.num_classes)),
        ("parameters", f"{arch.params:,}"),
        ("multiply-adds", f"{arch.macs:,}"),
        ("peak memory", f"{amount(arch.memory_kib(COUNTED))} KiB of activations ({COUNTED.dtype})"),
        ("weights", f"{amount(arch.weights_kib(COUNTED))} KiB ({COUNTED.dtype})"),
        ("training took", format_seconds(figures["train_seconds"])),
        ("model folder", f"{path}/model"),
    ]


def show(outcome: TrainOutcome) -> None:
    """The figures, where the model is, and what to type next."""
    path = outcome.run_dir
    table(f"result of {path}", ("", ""), receipt(outcome))
    # not in the table, whose cells are folded where a terminal is narrow
    log(f"next: {command('evaluate', {'arch': f'{path}/model'})} {data_settings(outcome.setup.source.card)}".rstrip())
