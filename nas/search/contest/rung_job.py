"""Training one network of a contest up to a rung: the same result wherever and whenever it runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from nas.methods.candidates.image_job import ImageJob
from nas.runs import checkpoint as checkpoints
from nas.runs.keeping.keeper import step_file
from nas.train import training
from nas.train.accuracy import right_class_percent
from nas.train.start.teacher import Teacher, distillation_of
from search_spaces.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class RungJob(ImageJob):
    """The training of `arch` up to `stop_epoch` of its `recipe`, by `teacher` too where there is one.

    `checkpoint`: where it goes on from and keeps every epoch, on a machine that has its folder; elsewhere it goes on
    from the content `state` (None: it begins, from `weights` where those are given, as safetensors). `right_class`:
    whether networks are compared by its probability too.
    """

    recipe: dict[str, Any]
    stop_epoch: int
    checkpoint: str
    state: bytes | None = None
    weights: bytes | None = None
    teacher: Teacher | None = None
    right_class: bool = False


def train_rung(job: RungJob) -> dict[str, Any]:
    """Train on the images that do not judge and evaluate on those that do; the test split is not looked at.

    Returns `top1_percent`, `loss` and, where asked for, `right_class_percent` (validation), `train_seconds` (over all
    rungs so far), `data` (what it was trained on, for `nas.train.options.Begin`) and `state`: the checkpoint's content
    where this machine does not share the run's disk, else None. Seeds and streams are those of the final training.
    Raises `ValueError` where the loss diverges.
    """
    arch, recipe = job.decoded(), Recipe.from_dict(job.recipe)
    data = job.images(arch.resolution)
    network, accelerator = training.build_network(arch, recipe, seed=job.seed), job.alone()
    if job.weights is not None:
        network.load_state_dict(safetensors.torch.load(job.weights))
    with _checkpoint(job) as (path, is_shared):
        # its score at this rung was lost, or does not count, as the images had changed
        if training.finished_epochs(path) > job.stop_epoch or _is_of_other_images(path, data.fingerprint):
            for file in (path, step_file(path)):
                for generation in (file, checkpoints.previous(file)):
                    generation.unlink(missing_ok=True)
        figures = training.train(
            network,
            data,
            recipe,
            seed=job.seed,
            accelerator=accelerator,
            options=training.Options(
                checkpoint=path, stop_epoch=job.stop_epoch, distillation=distillation_of(job.teacher, data)
            ),
        )
        state = None if is_shared else path.read_bytes()
    kept = {name: figures[name] for name in ("top1_percent", "loss", "train_seconds")}
    if job.right_class:
        kept["right_class_percent"] = right_class_percent(network, data.test, accelerator)
    return {**kept, "data": data.fingerprint, "state": state}


def _is_of_other_images(path: Path, fingerprint: str) -> bool:
    """Whether the checkpoint in `path`, or one inside of an epoch beside it, is of a training on other images."""
    states = (checkpoints.latest(file) for file in (path, step_file(path)))
    known = [(state.get("identity") or {}).get("data", fingerprint) for state in states if state is not None]
    return any(data != fingerprint for data in known)


@contextlib.contextmanager
def _checkpoint(job: RungJob) -> Iterator[tuple[Path, bool]]:
    """Where the training keeps its state, and whether the run sees it there."""
    path = Path(job.checkpoint)
    if path.parent.is_dir():
        yield path, True
        return
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / path.name
        if job.state is not None:
            local.write_bytes(job.state)
        yield local, False
