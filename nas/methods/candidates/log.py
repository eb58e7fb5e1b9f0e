"""What a candidate search leaves in its run besides the trials: metrics, the seconds it took, its name."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.methods.candidates.trials import Outcome
from nas.methods.candidates.trials_file import named_costs
from nas.runs.files import set_aside, write_json
from nas.runs.run import Run
from nas.runs.stored import NonNegative, read_record
from nas.terminal.progress import log
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible

ID = "id.json"
# what tells of a run's trained network; the last names it: killed before, a run still knows of which one the others are
RECEIPT = ("report.html", "answers.json", "figures/*.*", "found.json", "result.json")
# what a finished search made of its candidates; more of them may make it another
OF_THE_WINNER = ("derived.json", "recipe.json", "arch.json", "arch-*.json", "checkpoints/train*", *RECEIPT)
MODEL = "model"


def forget(run: Path, patterns: Sequence[str]) -> None:
    """Take away the files of the directory `run` that `patterns` name, in that order."""
    for pattern in patterns:
        for path in run.glob(pattern):
            path.unlink()


class CandidateLog:
    """The rows of phase `search` of a run, one a candidate. What an earlier piece of the search logged stays as it is,
    times included, and so does what came after it, as long as the candidates are the same.
    """

    def __init__(self, run: Run, feasible: Feasible) -> None:
        self.run, self.feasible = run, feasible
        self.logged = run.records("search")
        self.went_on = False

    def add(self, begin: int, told: Sequence[Outcome], scores: Floats) -> None:
        """Log the candidates `told`, the first of them number `begin`; `scores`: of all told up to the last of them."""
        for number, outcome in enumerate(told, start=begin):
            seen = scores[: number + 1]
            best = float(np.nanmax(seen)) if np.isfinite(seen).any() else None
            self._row(
                number,
                validation_top1_percent=None if math.isnan(outcome.score) else outcome.score,
                best_validation_top1_percent=best,
                **named_costs(self.feasible, outcome.genotype),
                candidate=outcome.candidate,
            )

    def _row(self, number: int, **values: float | str | None) -> None:
        known = self.logged[number] if number < len(self.logged) and not self.went_on else {}
        if known and known == {**known, **values, "step": number}:
            return
        if not self.went_on:
            self.went_on = True
            self.run.rewind("search", number)
            self._forget_the_winner()
        self.run.log("search", number, **values)

    def _forget_the_winner(self) -> None:
        """The search goes on: what was made of its best candidate, and trained, is made again.

        The trained network stays under another name: the run would hand it over for its own until it has another.
        """
        self.run.rewind("train", 0)
        if (model := self.run.path / MODEL).exists():
            log(f"the search goes on: {model}, of the best candidate before, is kept as {set_aside(model).name}")
        forget(self.run.path, OF_THE_WINNER)


class Clock:
    """Seconds the search took, over all resumed pieces; counted up to the last `save`."""

    def __init__(self, path: Path) -> None:
        self.path, self.began = path, time.perf_counter()
        self.before = _noted(path, "seconds", NonNegative) if path.exists() else 0.0

    def save(self) -> float:
        """Keep what was counted so far and return it."""
        seconds = self.before + time.perf_counter() - self.began
        write_json(self.path, {"seconds": seconds})
        return seconds


def is_kept(run: Run) -> bool:
    """Whether `run_id` is kept already: the study of the run was begun."""
    return (run.checkpoints / ID).exists()


def run_id(run: Run, study: str | None = None) -> str:
    """A name that no other run has, kept by `keep_id` in the run's directory: it stays where that is renamed.

    Raises `ValueError` where it is damaged, and where it is lost and no `study` is named: by another name all
    candidates would be trained again.
    """
    path = run.checkpoints / ID
    if study is not None:
        return _noted(path, "id", str) if path.exists() else secrets.token_hex(8)
    lost = f"put it back, it names the study of the candidates of {run.path}, or begin another run: run_dir=..."
    if path.exists():
        return _noted(path, "id", str, lost)
    if told := len(run.records("search")):
        raise ValueError(f"{path} is gone, and {told} candidates are recorded; {lost}")
    return secrets.token_hex(8)


def keep_id(run: Run, own: str) -> None:
    """Keep `run_id` from now on."""
    if not is_kept(run):
        write_json(run.checkpoints / ID, {"id": own})


def _noted(path: Path, key: str, annotation: Any, fix: str = "remove it and resume the run") -> Any:
    try:
        return read_record(path, "note of a search", {key: annotation})[key]
    except ValueError as error:
        raise ValueError(f"{error}; {fix}") from None
