"""Training one candidate of a search: the same result wherever and whenever it runs."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from nas.data.card import DataSource
from nas.data.files.stamp import stamp
from nas.data.images import ImageData
from nas.methods.candidates.kept_data import KeptData
from nas.runs.seeding import derive_seed
from nas.train import training
from nas.train.accelerator import Compute
from nas.train.several.alone import alone
from nas.train.start.teacher import Teacher, distillation_of
from search_spaces.arch import Arch, modules_of
from search_spaces.recipe import Recipe
from search_spaces.resolution import Resolution
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace


@dataclass(frozen=True)
class TrainingJob:
    """One training as picklable data. `data`: a resolved data card, or data in memory, whose content is that of
    `fingerprint` (at the resolution of the search's data); `validation_fraction` of its training images score the
    candidate and are not trained on (the same ones for all candidates of a `seed`); `accelerator`: auto, cpu, cuda.
    `stop_epoch`: the last epoch trained, of the recipe's whole schedule (None: all); `curve`: score every epoch too;
    `modules`: what registers the block kinds and activations of the arch; `teacher`: learned from besides labels.
    """

    arch: dict[str, Any]
    recipe: dict[str, Any]
    data: Mapping[str, Any] | ImageData
    fingerprint: str
    validation_fraction: float
    seed: int
    candidate: str
    accelerator: str
    precision: str
    stop_epoch: int | None = None
    curve: bool = False
    modules: tuple[str, ...] = ()
    teacher: Teacher | None = None


@dataclass(frozen=True)
class JobMaker:
    """From a candidate of `space` (its id and genotype) to the job that trains it on `source`, the same for all."""

    space: JointSpace
    source: DataSource
    fingerprint: str
    validation_fraction: float
    seed: int
    compute: Compute
    teacher: Teacher | None = None

    def __call__(self, candidate: str, genotype: Genotype) -> TrainingJob:
        arch = self.space.decode(genotype)
        return TrainingJob(
            arch=arch.to_dict(),
            recipe=self.space.recipe(genotype).to_dict(),
            data=self.source.card,
            fingerprint=self.fingerprint,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
            candidate=candidate,
            accelerator=self.compute.accelerator,
            precision=self.compute.precision,
            modules=modules_of(arch),
            teacher=self.teacher,
        )


def train_candidate(job: TrainingJob) -> dict[str, Any]:
    """Train on the search's training images and evaluate on its validation images; the test split is not looked at.

    Returns `top1_percent, top5_percent, loss` (validation), `train_loss, train_seconds, epochs` (trained) and, where
    asked for, `curve`: validation top-1 percent after each epoch. Seeded by the search and the candidate alone, so that
    a training that stops early has the curve of the whole one, cut off. Raises `ValueError` where the loss diverges.
    """
    for module in job.modules:
        if module != "__main__":  # a process that multiprocessing starts has run the program's file
            importlib.import_module(module)
    arch, recipe = Arch.from_dict(job.arch), Recipe.from_dict(job.recipe)
    data = held_out(job, arch.resolution)  # searched resolutions: the images follow the candidate
    seed = derive_seed(job.seed, "candidate", job.candidate) % 2**31
    network = training.build_network(arch, recipe, seed=seed)
    curve: list[float] = []
    figures = training.train(
        network,
        data,
        recipe,
        seed=seed,
        accelerator=alone(job.accelerator, job.precision),
        options=training.Options(
            on_epoch=(lambda epoch, record: curve.append(record["top1_percent"])) if job.curve else None,
            evaluate_every=1 if job.curve else 0,
            stop_epoch=job.stop_epoch,
            phase="candidate",
            distillation=distillation_of(job.teacher, data),
        ),
    )
    epochs = recipe.epochs if job.stop_epoch is None else job.stop_epoch
    return {**figures, "epochs": epochs} | ({"curve": curve} if job.curve else {})


def search_recipe(recipe: Recipe, epochs: int | None) -> Recipe:
    """`recipe` for the candidates of a search, `epochs` long where that is given (its own length otherwise)."""
    if epochs is None:
        return recipe
    too_long = recipe.warmup_epochs is not None and recipe.warmup_epochs >= epochs
    if recipe.schedule == "multistep":
        raise ValueError("search.epochs cannot shorten a recipe of schedule multistep; set recipe.milestones for it")
    return dataclasses.replace(recipe, epochs=epochs, warmup_epochs=None if too_long else recipe.warmup_epochs)


_KEPT = KeptData()  # of this process, which trains one candidate after the other


def kind_of_device(accelerator: str) -> str:
    """What `auto` means here: CPU and GPU round otherwise."""
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"


class ScoredOnImages(Protocol):
    """A job that is judged on held-out training images; see `TrainingJob`."""

    @property
    def data(self) -> Mapping[str, Any] | ImageData: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def validation_fraction(self) -> float: ...
    @property
    def seed(self) -> int: ...


def held_out(job: ScoredOnImages, resolution: Resolution) -> ImageData:
    """The images of `job`: training images without those that score candidates, and these as test images."""

    def load() -> ImageData:
        return DataSource(job.data).at(resolution).held_out(1 - job.validation_fraction, job.seed)

    if isinstance(job.data, Mapping):
        content = (json.dumps({**job.data, "resolution": resolution}), stamp(job.data))
    else:
        content = (job.fingerprint, f"{resolution}")
    return _KEPT.get((*content, job.validation_fraction, job.seed), load)
