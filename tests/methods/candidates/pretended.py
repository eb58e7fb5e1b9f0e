"""Candidate searches whose trainings are made up: a small space, a quick method, an executor that runs no training."""

from __future__ import annotations

import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.methods.candidates.executors.base import Done, Work
from nas.methods.candidates.loop import CandidateSearch, Found, search_candidates
from nas.methods.candidates.scorers.training import TrainingScorer
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.training_job import TrainingJob, train_candidate
from nas.methods.evolution import Evolution
from nas.methods.predictor import PredictorSearch
from nas.runs.run import Run
from predictors.baselines import RandomForest
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import recipe_space
from search_spaces.space import Genotype
from search_spaces.wrappers.joint import JointSpace
from tests.methods.gradient_task import few_layers

METHOD = PredictorSearch(
    predictor=RandomForest(trees=10),
    initial=4,
    pool_size=64,
    exploration=1.0,
    diversity=1.0,
    acquisition_evaluations=100,
    evolution=Evolution(evaluations=200, population_size=16, children=32),
)


def joint_space(base: Recipe) -> JointSpace:
    return JointSpace(few_layers(expansions=(1, 3)), recipe_space(base, lr=[0.01, 0.02]))


def digits_job(space: JointSpace, candidate: str, genotype: Genotype, validation_fraction: float) -> TrainingJob:
    """The training of a candidate on the digits, 8 pixels."""
    card = {"_target_": "nas.data.digits.digits", "resolution": None}
    arch, recipe = space.decode(genotype).to_dict(), space.recipe(genotype).to_dict()
    return TrainingJob(
        arch=arch,
        recipe=recipe,
        data=card,
        fingerprint="digits",
        validation_fraction=validation_fraction,
        seed=0,
        candidate=candidate,
        accelerator="cpu",
        precision="no",
    )


def made_up_percent(candidate: str) -> float:
    """A score that follows from the candidate's id alone."""
    return int(candidate[:6], 16) % 9973 / 100


class Pretended(ABC):
    """An executor whose results follow from the jobs alone, newest first, interrupted after `die_after` of them.

    `seen`: the jobs it was given, as they ended.
    """

    def __init__(self, workers: int = 1, die_after: int | None = None) -> None:
        self.capacity, self.die_after = workers, die_after
        self.waiting: list[tuple[int, TrainingJob]] = []
        self.seen: list[TrainingJob] = []

    @abstractmethod
    def result(self, job: TrainingJob) -> dict[str, Any]:
        """What training `job`, the last of `seen`, gives. Raises `ValueError` where it fails."""

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Pretended]:
        assert work is train_candidate
        yield self

    def submit(self, key: int, job: TrainingJob) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        if self.die_after == len(self.seen):
            raise KeyboardInterrupt
        key, job = self.waiting.pop()
        self.seen.append(job)
        try:
            return [Done(key, self.result(job))]
        except ValueError as error:
            return [Done(key, error=f"ValueError: {error}")]


class Scored(Pretended):
    """Candidates score what follows from their id, untrained."""

    def result(self, job: TrainingJob) -> dict[str, Any]:
        return {"top1_percent": made_up_percent(job.candidate), "epochs": 1}


def search(
    folder: Path,
    executor: Any,
    space: JointSpace,
    limits: list[Limit],
    settings: CandidateSettings,
    validation_fraction: float,
    resume: bool = False,
    method: Any = METHOD,
    **changes: Any,
) -> Found:
    """A search in the run directory `folder`, with `changes` of `settings`."""

    def job_of(candidate: str, genotype: Genotype) -> TrainingJob:
        return digits_job(space, candidate, genotype, validation_fraction)

    with Run.open(None if resume else str(folder), str(folder) if resume else None, "x", {}) as run:
        changed = dataclasses.replace(settings, **changes)
        return search_candidates(
            run, CandidateSearch(method, Feasible(space, limits), TrainingScorer(job_of), executor, changed, 0)
        )
