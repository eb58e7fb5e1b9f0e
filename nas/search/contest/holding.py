"""Holding a contest: train what is not trained yet, rung by rung, on any executor, and say who stayed."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.data.card import DataSource
from nas.methods.candidates.executors.base import Executor, Workers
from nas.methods.candidates.image_job import kind_of_device
from nas.runs.files import write_atomic
from nas.runs.run import Run
from nas.search.contest.entrants import Entrant
from nas.search.contest.plan import Plan
from nas.search.contest.record import ContestRecord
from nas.search.contest.rung_job import RungJob, train_rung
from nas.search.contest.standings import RIGHT_CLASS, TOP_1, Figures, Rung, Standings, rank
from nas.terminal.progress import Advance, log, phase
from nas.train import training
from nas.train.accelerator import Compute
from nas.train.options import Begin
from nas.train.start.teacher import Teacher, identity_of
from nas.train.training import TRAINING_VERSION
from search_spaces.arch import modules_of, own_code
from search_spaces.plain_data.identity import Identity

WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Terms:
    """What is the same for all networks of a contest: the images and which of them judge, seed, where, how often.

    `fingerprint` of the data at the search's resolution; a training that fails is tried `attempts` times in all.
    `score_is`: what the networks were chosen by; `teacher`: what they learn from besides labels.
    """

    source: DataSource
    fingerprint: str
    validation_fraction: float
    seed: int
    compute: Compute
    executor: Executor
    attempts: int
    score_is: str = "unknown"
    teacher: Teacher | None = None

    @property
    def identity(self) -> Identity:
        """What all accuracies depend on beside network, recipe and initial weights."""
        return {
            "data": self.fingerprint,
            "validation_fraction": self.validation_fraction,
            "seed": self.seed,
            "precision": self.compute.precision,
            "accelerator": kind_of_device(self.compute.accelerator),
            "training_version": TRAINING_VERSION,
            **identity_of(self.teacher),
        }


@dataclass(frozen=True)
class Held:
    """What came of a contest, and where the training of the network that is handed on goes on from (None: anew)."""

    standings: Standings
    begin: Begin | None


def depends_on(terms: Terms, entrants: Sequence[Entrant]) -> Identity:
    """What the trainings of `entrants` depend on beside themselves: `terms`, the code of blocks of the user's own."""
    return {**terms.identity, **own_code(step for entrant in entrants for step in entrant.arch.walk())}


def hold(run: Run, terms: Terms, plan: Plan, entrants: Sequence[Entrant]) -> Held:
    """The contest of `entrants`, in the order in which they were promising, or what is left of it.

    Executor, number of workers and interruptions do not change what comes of it. Raises `ValueError` where no network
    could be trained, and for a damaged record.
    """
    with contextlib.ExitStack() as stack:
        contest = _Contest(run, terms, plan, entrants, stack)
        advance = stack.enter_context(phase("contest", plan.contest_epochs, "epoch", contest.done(entrants)))
        alive = list(entrants)
        rungs: list[Rung] = []
        out: list[Entrant] = []
        for number, kept in enumerate(plan.kept):
            trained = contest.trained(alive, number, advance)
            by = contest.figure(number, trained)
            ranked = rank(alive, trained, by)
            alive = [entrant for entrant in ranked[:kept] if "error" not in trained[entrant.key]]
            if not alive:
                reason = trained[ranked[0].key]["error"]
                raise ValueError(f"none of the {len(ranked)} networks of the contest could be trained: {reason}")
            figures = tuple(trained[entrant.key] for entrant in ranked)
            rungs.append(Rung(plan.cuts[number], tuple(ranked), figures, len(alive), by))
            out = [*ranked[len(alive) :], *out]
        standings = Standings(plan, tuple(rungs), (*alive, *out), terms.score_is)
        contest.record.end(standings.to_dict())
        begin = contest.begin_of(standings, advance) if plan.from_contest else None
    return Held(standings, begin)


class _Contest:
    """The trainings of a contest; workers are brought up, until `stack` is closed, when the first is needed."""

    def __init__(
        self, run: Run, terms: Terms, plan: Plan, entrants: Sequence[Entrant], stack: contextlib.ExitStack
    ) -> None:
        self.terms, self.plan, self.stack = terms, plan, stack
        # one that smooths labels or mixes images keeps the probability of the right class down, whatever it is worth
        self.is_one_recipe = len({entrant.recipe.acting for entrant in entrants}) == 1
        self.record = ContestRecord(run.path, depends_on(terms, entrants))
        if self.record.differing:
            log(f"{self.record.path} is of another contest ({'; '.join(self.record.differing[:3])}): held anew")
        self.folder = run.checkpoints / f"contest-{self.record.id}"  # no worker elsewhere finds an old one

    @functools.cached_property
    def workers(self) -> Workers:
        self.record.keep_id()
        self.folder.mkdir(exist_ok=True)
        return self.stack.enter_context(self.terms.executor.open(train_rung))

    def done(self, entrants: Sequence[Entrant]) -> int:
        """Epochs that earlier pieces of this contest trained."""
        pieces = [(entrant, number) for entrant in entrants for number in range(len(self.plan.cuts))]
        return sum(self._piece(number) for entrant, number in pieces if self._known(entrant, number) is not None)

    def figure(self, number: int, trained: Mapping[str, Figures]) -> str:
        """What networks are compared by at rung `number`, where they came to what was `trained`."""
        late = self._late_figure(number)
        known = late is not None and all("error" in found or found.get(late) is not None for found in trained.values())
        return late if late is not None and known else TOP_1

    def _late_figure(self, number: int) -> str | None:
        return self.record.late_figure if self.plan.is_late(number) and self.is_one_recipe else None

    def trained(self, alive: Sequence[Entrant], number: int, advance: Advance) -> dict[str, Any]:
        """The figures of all of `alive` at rung `number`; those that are not known yet are trained."""
        self._train([entrant for entrant in alive if self._known(entrant, number) is None], number, advance)
        return {entrant.key: self._known(entrant, number) for entrant in alive}

    def begin_of(self, standings: Standings, advance: Advance) -> Begin | None:
        """Where the final training of `standings.best` goes on from: its last cut."""
        best, last = standings.best, standings.reached(standings.best)
        if last is None:
            return None
        path, epochs = self._checkpoint(best), self._cut(best, last)
        if not path.exists() or training.finished_epochs(path) != epochs:  # lost or damaged since
            self._train([best], last, advance)
        return Begin(path, epochs, self.record.trained[best.key, epochs]["data"])

    def _train(self, entrants: Sequence[Entrant], number: int, advance: Advance) -> None:
        waiting = list(entrants)[::-1]
        tries = dict.fromkeys((entrant.key for entrant in waiting), 0)
        under_way: dict[int, Entrant] = {}
        while waiting or under_way:
            while waiting and len(under_way) < self.workers.capacity:
                entrant = waiting.pop()
                tries[entrant.key] += 1
                job = sum(tries.values())
                self.workers.submit(job, self._job(entrant, number))
                under_way[job] = entrant
            for done in self.workers.wait(WAIT_SECONDS):
                entrant = under_way.pop(done.key)
                if done.error is not None and tries[entrant.key] < self.terms.attempts:
                    log(f"contest: {entrant.name} failed and is tried again: {done.error}")
                    waiting.append(entrant)
                    continue
                figures = self._kept(entrant, done.result) if done.error is None else {"error": done.error}
                self.record.keep(entrant.key, self._cut(entrant, number), figures)
                how = done.error or f"{figures['top1_percent']:.2f}% of the validation images"
                advance(self._piece(number), f"{entrant.name}: {how}")

    def _kept(self, entrant: Entrant, result: dict[str, Any]) -> dict[str, Any]:
        """The figures of a training, whose checkpoint from now on lies with the run, wherever it was trained."""
        state: bytes | None = result["state"]

        def write(temporary: Path) -> None:
            temporary.write_bytes(state or b"")

        if state is not None:
            write_atomic(self._checkpoint(entrant), write)
        figures = {name: value for name, value in result.items() if name != "state"}
        for name in ("loss", RIGHT_CLASS):  # they may overflow where the accuracy is fine
            if not math.isfinite(figures.get(name, 0.0)):
                figures[name] = None
        return figures

    def _job(self, entrant: Entrant, number: int) -> RungJob:
        terms, path = self.terms, self._checkpoint(entrant)
        return RungJob(
            arch=entrant.arch.to_dict(),
            recipe=entrant.recipe.to_dict(),
            data=terms.source.card,
            fingerprint=terms.fingerprint,
            validation_fraction=terms.validation_fraction,
            seed=terms.seed,
            accelerator=terms.compute.accelerator,
            precision=terms.compute.precision,
            stop_epoch=self._cut(entrant, number),
            checkpoint=str(path.resolve()),
            state=path.read_bytes() if path.exists() else None,
            weights=entrant.weights,
            right_class=self._late_figure(number) is not None,
            modules=modules_of(entrant.arch),
            teacher=terms.teacher,
        )

    def _checkpoint(self, entrant: Entrant) -> Path:
        return self.folder / f"{entrant.key}.pt"

    def _known(self, entrant: Entrant, number: int) -> dict[str, Any] | None:
        return self.record.trained.get((entrant.key, self._cut(entrant, number)))

    def _cut(self, entrant: Entrant, number: int) -> int:
        return self.plan.cut(number, entrant.recipe.epochs)

    def _piece(self, number: int) -> int:
        """Epochs from the rung before to rung `number`."""
        return self.plan.cuts[number] - (self.plan.cuts[number - 1] if number else 0)
