"""Shorter trainings in a search: a first batch trained in full says at which epoch the later candidates may stop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from nas.methods.candidates.training_job import TrainingJob
from nas.methods.candidates.trials import Outcome
from nas.runs.stored import Positive, Schema, record
from predictors.early_stopping import FEWEST, stopping_rule
from search_spaces.plain_data.annotations import Range
from search_spaces.recipe_space import RecipeSpace

NOTE = "stopping"  # where a `Stop` is kept with the trials
FIELDS: Schema = {
    **dict.fromkeys(("epochs", "rounds", "candidates"), Positive),
    "correlations": list[Annotated[float, Range(-1, 1)]],
}


@dataclass(frozen=True)
class Stop:
    """From round `rounds` on, candidates train `epochs` epochs of their recipe; before it, they trained in full.

    `correlations[e]`: Spearman's rank correlation of epoch e + 1 with the last, over `candidates` trained in full.
    """

    epochs: int
    rounds: int
    candidates: int
    correlations: tuple[float, ...]

    def sentence(self) -> str:
        """For the log."""
        return (
            f"later candidates train {self.epochs} of {len(self.correlations)} epochs: the {self.candidates} trained "
            f"in full rank there as they do at the end (correlation {self.correlations[self.epochs - 1]:.3f})"
        )


def check_equal_lengths(recipes: RecipeSpace) -> None:
    """Refuse recipes whose curves cannot be compared epoch by epoch, or of one epoch, where nothing can be saved."""
    if any(variable.name == "epochs" for variable in recipes.variables):
        raise ValueError(
            "search.stop_correlation compares candidates epoch by epoch; with recipe_space.epochs their schedules "
            "differ: leave out one of the two"
        )
    if recipes.base.epochs < 2:
        raise ValueError("search.stop_correlation needs candidate trainings of >= 2 epochs, got 1; raise search.epochs")


def decide(outcomes: Mapping[tuple[int, int], Outcome], rounds: int, threshold: float) -> Stop | None:
    """The stop that the first `rounds` rounds, trained in full, justify (FBNetV3, arXiv 2006.02049, section 3).

    Failed candidates have no curve and are left out. None while fewer than `FEWEST` curves are there or all of them end
    at one accuracy: then the next round is trained in full too.
    """
    settled = [outcomes[key] for key in sorted(outcomes) if key[0] < rounds]
    curves = np.array([outcome.figures["curve"] for outcome in settled if np.isfinite(outcome.score)])
    if len(curves) < FEWEST or np.ptp(curves[:, -1]) == 0:
        return None
    rule = stopping_rule(curves, threshold)
    return Stop(rule.epochs, rounds, len(curves), rule.correlations)


def with_stop(job: TrainingJob, stop: Stop | None, round_: int) -> TrainingJob:
    """`job` with its curve asked for; where `stop` holds for its round, without one, stopped early."""
    if stop is not None and round_ >= stop.rounds:
        return dataclasses.replace(job, stop_epoch=stop.epochs)  # scored once: looks at every epoch cost time
    return dataclasses.replace(job, curve=True)


def comparable(outcome: Outcome, stop: Stop | None) -> Outcome:
    """`outcome` scored at the epoch all candidates reach, also where it was trained further."""
    if stop is None or "curve" not in outcome.figures:  # stopped there, or failed
        return outcome
    return dataclasses.replace(outcome, score=float(outcome.figures["curve"][stop.epochs - 1]))


def to_dict(stop: Stop) -> dict[str, Any]:
    """Plain data for the trial store."""
    return {**dataclasses.asdict(stop), "correlations": list(stop.correlations)}


def from_dict(data: Mapping[str, Any] | None) -> Stop | None:
    """The stop that `to_dict` wrote; None for None. Raises `ValueError` for what it cannot have written."""
    if data is None:
        return None
    try:
        found = record(dict(data), FIELDS, "the note")
        if found["epochs"] > len(found["correlations"]):
            raise ValueError(f"it stops at epoch {found['epochs']} of {len(found['correlations'])}")
    except ValueError as error:
        raise ValueError(f"the study's note on early stopping is damaged: {error}; start the search anew") from None
    return Stop(found["epochs"], found["rounds"], found["candidates"], tuple(found["correlations"]))
