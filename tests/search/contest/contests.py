"""Contests of little networks, with trainings that are made up or real: what their tests share."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.data.card import DataSource
from nas.methods.candidates.executors.base import Done, Work
from nas.runs import checkpoint
from nas.runs.run import Run
from nas.search.contest.entrants import Entrant
from nas.search.contest.holding import Held, Terms, hold
from nas.search.contest.plan import Plan
from nas.search.contest.rung_job import RungJob, train_rung
from nas.train.accelerator import Compute
from nas.train.training import FORMAT
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype
from tests.methods.gradient_task import DATA, few_layers

SPACE = few_layers()
RECIPE = Recipe(epochs=4, batch_size=32, lr=0.01, optimizer="adamw", schedule="cosine", augment="shift")


class MadeUp:
    """An executor whose accuracies `percent(arch id, epochs)` are known, newest job first; it leaves checkpoints.

    `right`: the probability of the right class in percent, as much if not given. A ValueError of `percent` fails the
    training. It is interrupted after `die_after` jobs; `seen`: arch id and epochs.
    """

    def __init__(self, percent: Any, workers: int = 1, die_after: int | None = None, right: Any = None) -> None:
        self.percent, self.capacity, self.die_after, self.right = percent, workers, die_after, right or percent
        self.waiting: list[tuple[int, RungJob]] = []
        self.seen: list[tuple[str, int]] = []

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[MadeUp]:
        assert work is train_rung
        yield self

    def submit(self, key: int, job: RungJob) -> None:
        assert len(self.waiting) < self.capacity
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        if self.die_after == len(self.seen):
            raise KeyboardInterrupt
        key, job = self.waiting.pop()
        arch = ID[json.dumps(job.arch)]
        self.seen.append((arch, job.stop_epoch))
        try:
            percent = float(self.percent(arch, job.stop_epoch))
        except ValueError as error:
            return [Done(key, error=f"ValueError: {error}")]
        progress = {"epoch": job.stop_epoch, "seconds": 1.0, "train_loss": 0.0}
        checkpoint.save(job.checkpoint, {"format": FORMAT, "progress": progress})
        figures = {"top1_percent": percent, "loss": 1.0, "train_seconds": float(job.stop_epoch), "data": "part"}
        return [Done(key, {**figures, "right_class_percent": float(self.right(arch, job.stop_epoch)), "state": None})]


class Real:
    """An executor that trains in this process; with `elsewhere` on a machine, so to say, without the run's disk."""

    capacity = 2

    def __init__(self, elsewhere: Path | None = None) -> None:
        self.elsewhere = elsewhere
        self.waiting: list[tuple[int, RungJob]] = []

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[Real]:
        yield self

    def submit(self, key: int, job: RungJob) -> None:
        if self.elsewhere is not None:
            job = dataclasses.replace(job, checkpoint=str(self.elsewhere / Path(job.checkpoint).name))
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        return [Done(key, train_rung(job))]


def entrants(*genotypes: Genotype, recipe: Recipe = RECIPE) -> list[Entrant]:
    found = [
        Entrant(f"found-{i}", SPACE.decode(genotype), recipe, genotype, 100.0 - i)
        for i, genotype in enumerate(genotypes, start=1)
    ]
    ID.update({json.dumps(entrant.arch.to_dict()): entrant.arch.id for entrant in found})
    return found


ID: dict[str, str] = {}  # of the archs above, by their content


def held(folder: Path, executor: Any, plan: Plan, networks: list[Entrant], seed: int = 0) -> Held:
    """The contest in the run directory `folder`, which is begun or continued."""
    terms = Terms(DataSource(DATA), DATA.fingerprint, 0.25, seed, Compute("cpu", "no"), executor, 2)
    is_begun = (folder / "config.yaml").exists()
    with Run.open(None if is_begun else str(folder), str(folder) if is_begun else None, "x", {}) as run:
        return hold(run, terms, plan, networks)
