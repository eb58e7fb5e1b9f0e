"""Training one candidate of a search: the same result wherever and whenever it runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nas.data.card import DataSource
from nas.methods.candidates.image_job import ImageJob
from nas.runs.seeding import derive_seed
from nas.train import training
from nas.train.accelerator import Compute
from nas.train.start.teacher import Teacher, distillation_of
from search_spaces.arch import modules_of
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace


@dataclass(frozen=True, kw_only=True)
class TrainingJob(ImageJob):
    """One training by `recipe`, seeded by the `candidate` too.

    `stop_epoch`: the last epoch trained, of the recipe's whole schedule (None: all); `curve`: score every epoch too;
    `teacher`: learned from besides labels.
    """

    recipe: dict[str, Any]
    candidate: str
    stop_epoch: int | None = None
    curve: bool = False
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
    train_images: int | None = None

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
            train_images=self.train_images,
            modules=modules_of(arch),
            teacher=self.teacher,
        )


def train_candidate(job: TrainingJob) -> dict[str, Any]:
    """Train on the search's training images and evaluate on its validation images; the test split is not looked at.

    Returns `top1_percent, top5_percent, loss` (validation), `train_loss, train_seconds, epochs` (trained) and, where
    asked for, `curve`: validation top-1 percent after each epoch. Seeded by the search and the candidate alone, so that
    a training that stops early has the curve of the whole one, cut off. Raises `ValueError` where the loss diverges.
    """
    arch, recipe = job.decoded(), Recipe.from_dict(job.recipe)
    data = job.images(arch.resolution)  # searched resolutions: the images follow the candidate
    seed = derive_seed(job.seed, "candidate", job.candidate) % 2**31
    network = training.build_network(arch, recipe, seed=seed)
    curve: list[float] = []
    figures = training.train(
        network,
        data,
        recipe,
        seed=seed,
        accelerator=job.alone(),
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


def search_recipe(recipe: Recipe, epochs: int | None, key: str = "search.epochs") -> Recipe:
    """`recipe`, `epochs` long where the setting `key` gives that (its own length otherwise).

    Raises `ValueError` for one whose milestones would have to move.
    """
    if epochs is None or epochs == recipe.epochs:
        return recipe
    too_long = recipe.warmup_epochs is not None and recipe.warmup_epochs >= epochs
    if recipe.schedule == "multistep":
        raise ValueError(
            f"{key}={epochs} cannot change the length of a recipe of schedule multistep ({recipe.epochs} epochs): its "
            "milestones are epochs; set recipe.epochs and recipe.milestones instead"
        )
    return dataclasses.replace(recipe, epochs=epochs, warmup_epochs=None if too_long else recipe.warmup_epochs)
