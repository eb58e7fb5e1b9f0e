"""Scoring by training: every candidate is trained by itself, from scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from nas.methods.candidates.executors.base import Work
from nas.methods.candidates.image_job import kind_of_device
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.train.start.teacher import identity_of
from nas.train.training import TRAINING_VERSION
from search_spaces.plain_data.identity import Identity
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace


@dataclass(frozen=True)
class TrainingScorer:
    """`job_of(id, genotype)` is the training of a candidate; what is the same in all of them counts for identity."""

    work: ClassVar[Work] = staticmethod(train_candidate)
    doing: ClassVar[str] = "training candidates"
    job_of: Callable[[str, Genotype], TrainingJob]

    def job(self, candidate: str, genotype: Genotype) -> TrainingJob:
        return self.job_of(candidate, genotype)

    def identity(self, feasible: Feasible) -> Identity:
        """Recipe, recipe space, data's content, split, how many images are trained on where not all are, seed,
        precision, kind of device, training's code, a teacher."""
        space, job = feasible.space, self.job_of("", tuple(int(gene) for gene in feasible.anchor))
        assert isinstance(space, JointSpace)
        searched = {variable.name for variable in space.recipes.variables}
        return {
            "recipe": {name: value for name, value in job.recipe.items() if name not in searched},
            "recipe_space": {v.name: list(v.choices) for v in space.recipes.variables},
            "data": job.fingerprint,
            "validation_fraction": job.validation_fraction,
            "seed": job.seed,
            "precision": job.precision,
            "accelerator": kind_of_device(job.accelerator),
            "training_version": TRAINING_VERSION,
            **({} if job.train_images is None else {"images": job.train_images}),
            **identity_of(job.teacher),
        }
