"""Pieces of work that one process or several do, and the figures they leave: what the tests here compare.

`torchrun --nproc-per-node 2 -m tests.train.several.pieces FOLDER NAME ...` writes FOLDER/NAME.json for each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from nas.data.digits import digits
from nas.methods.base import Task
from nas.methods.elastic.pretraining import pretrain
from nas.methods.elastic.settings import Pretraining
from nas.runs.keeping.settings import Keeping
from nas.train import training
from nas.train.accelerator import make_accelerator
from nas.train.answers.by_class import Answers
from nas.train.several.alone import Alone
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual
from search_spaces.from_card import from_card
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace
from tests.methods import gradient_task

STAGES = ((ConvBNAct(8, 3),), (InvertedResidual(8, 3, 1, 2.0), InvertedResidual(16, 3, 2, 2.0)))
ARCH = Arch(8, (*STAGES, (ConvBNAct(32), Classifier(10))), in_channels=1)
RECIPE = Recipe(3, 40, 0.05, "nesterov", clip_grad=1.0, label_smoothing=0.1, augment="shift", zero_init_residual=True)
ELASTIC = Recipe(2, 40, 0.01, "adamw", warmup_epochs=0, clip_grad=1.0, zero_init_residual=True)
PAPER = {
    "mode": "paper",
    "weight_optimizer": "rmsproptf",
    "schedule": "step",
    "latency_weight": 1.0,
    "label_smoothing": 0.1,
}
Figures = dict[str, Any]


def summary(records: list[dict[str, float]], state: Mapping[str, Tensor]) -> Figures:
    """The figures of the epochs; norms of the tensors, and a digest of all their bits."""
    found, numbers = hashlib.sha256(), {}
    for name, value in state.items():
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
        if value.is_floating_point():
            numbers[name] = float(value.detach().double().nan_to_num(neginf=0).norm())
    left = [{k: v for k, v in record.items() if "seconds" not in k} for record in records]
    return {"records": left, "norms": numbers, "digest": found.hexdigest()}


def evaluation(accelerator: Accelerator, folder: Path) -> Figures:
    """45 images in batches of 8: the last batch is odd, and some process has fewer images than the others."""
    network, split = training.build_network(ARCH, RECIPE), digits(8).test
    answers, labels = Answers(), split.labels[:45]
    with answers.of(network):
        found = training.evaluate(network, split.subset(torch.arange(45)), batch_size=8, accelerator=accelerator)
    by_class = answers.of_all(45, 8, accelerator).record(labels, digits(8).class_names)
    answers = Answers()
    with answers.of(network):
        one = training.evaluate(network, split.subset(torch.arange(1)), batch_size=8, accelerator=accelerator)
    confusion = answers.of_all(1, 8, accelerator).record(labels[:1], digits(8).class_names)["confusion"]
    its_class = {f"{right} for {seen}": n for right, row in enumerate(confusion) for seen, n in enumerate(row)}
    return {"odd": found, "one image": one, "by class": by_class, "its class": its_class}


def _trained(accelerator: Accelerator, **options: Any) -> Figures:
    data = dataclasses.replace(digits(8), train=digits(8).train.subset(torch.arange(240)))
    network, records = training.build_network(ARCH, RECIPE), []
    asked = training.Options(on_epoch=lambda _, record: records.append(record), evaluate_every=1, **options)
    training.train(network, data, RECIPE, accelerator=accelerator, options=asked)
    return summary(records, network.state_dict())


def training_run(accelerator: Accelerator, folder: Path) -> Figures:
    return _trained(accelerator)


class Stopped(Exception):
    """What an interruption raises here."""


def begun(accelerator: Accelerator, folder: Path) -> Figures:
    """The first of three epochs and half of the second, kept at every step."""
    folder.mkdir(exist_ok=True)
    done = 0

    def stop(steps: int) -> None:
        nonlocal done
        done += steps
        if done > 9:
            raise Stopped

    with contextlib.suppress(Stopped):
        _trained(accelerator, checkpoint=folder / "train.pt", keeping=Keeping(minutes=1e-9), on_step=stop)
    return {"steps": done}


def continued(accelerator: Accelerator, checkpoint: Path) -> Figures:
    """What is left of `begun`."""
    return _trained(accelerator, checkpoint=checkpoint)


def accumulating(accelerator: Accelerator, folder: Path) -> Figures:
    """Four pieces of ten images: two of each of two processes."""
    return _trained(accelerator, accumulate=4 // accelerator.num_processes)


def alone(accelerator: Accelerator, folder: Path) -> Figures:
    """Each process by itself: nothing is shared, and nobody waits."""
    return _trained(Alone(cpu=True) if accelerator.num_processes > 1 else accelerator)


def _task(
    accelerator: Accelerator, folder: Path, space: SearchSpace | None = None
) -> tuple[Task, list[dict[str, float]]]:
    made, records = gradient_task.task(folder, space or gradient_task.few_layers())
    return dataclasses.replace(made, accelerator=accelerator), records


def _widths() -> SearchSpace:
    blocks = [{"kind": "inverted_residual", "kernel_size": 3, "expand_ratio": 2}]
    stages = [{"name": name, "channels": [8, 16], "depth": 2, "stride": 2, "blocks": blocks} for name in ("a", "b")]
    return from_card(stages, {"out_channels": 8, "kernel_size": 3}, {"out_channels": 32}, "few widths", 8, 10, 1)


def _searched(
    accelerator: Accelerator, folder: Path, card: str, space: SearchSpace | None = None, **changes: Any
) -> Figures:
    task, records = _task(accelerator, folder, space)
    result = gradient_task.method(card, **changes).search(task)
    state = {str(v): torch.from_numpy(row) for v, row in enumerate(result.probabilities)}
    return summary(records, {**state, **gradient_task.weights(result, task.space)})


def dnas(accelerator: Accelerator, folder: Path) -> Figures:
    return _searched(accelerator, folder, "dnas")


def masking(accelerator: Accelerator, folder: Path) -> Figures:
    return _searched(accelerator, folder, "masking", _widths())


def single_path(accelerator: Accelerator, folder: Path) -> Figures:
    return _searched(accelerator, folder, "single_path")


def single_path_paper(accelerator: Accelerator, folder: Path) -> Figures:
    return _searched(accelerator, folder, "single_path", **PAPER)


def elastic(accelerator: Accelerator, folder: Path) -> Figures:
    task, records = _task(accelerator, folder)
    settings = Pretraining(ELASTIC, random=1, pick="worst", of=2, updates="step")
    return summary(records, pretrain(settings, task).network.state_dict())


PIECES: dict[str, Callable[[Accelerator, Path], Figures]] = {
    made.__name__: made
    for made in (
        evaluation,
        training_run,
        begun,
        accumulating,
        alone,
        dnas,
        masking,
        single_path,
        single_path_paper,
        elastic,
    )
}


def main(folder: Path, names: list[str], sync_batch_norm: bool = True) -> None:
    """Do the pieces `names` with all processes there are; each writes what it found."""
    accelerator = make_accelerator("cpu", sync_batch_norm=sync_batch_norm)
    for name in names:
        found = PIECES[name](accelerator, folder / name)
        (folder / f"{name}-{accelerator.process_index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [name for name in sys.argv[2:] if name != "own"], "own" not in sys.argv)
