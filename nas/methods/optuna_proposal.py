"""Optuna's samplers as proposals: a study in memory that knows what was told."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nas.methods.proposal import Proposal
from nas.runs.seeding import derive_seed
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from search_spaces.pricing.budgets import Feasible

Direction = Literal["maximize", "minimize"]

DRAWS = 4  # suggestions per candidate before random ones fill up


class OptunaProposal(Proposal):
    """Genotypes suggested by an Optuna sampler: integers for ordered variables, categories for the others.

    Suggestions beyond a budget are repaired, and what is told is what was trained; the sampler is seeded anew for every
    suggestion, so that telling the same candidates again leads to the same suggestions.
    """

    def __init__(self, feasible: Feasible, seed: int, directions: Sequence[Direction]) -> None:
        import optuna
        from optuna.distributions import CategoricalDistribution, IntDistribution

        super().__init__(feasible, seed)
        self.distributions: dict[str, BaseDistribution] = {
            f"{i:03d}": IntDistribution(0, len(v) - 1) if v.ordered else CategoricalDistribution(range(len(v)))
            for i, v in enumerate(self.space.variables)
        }
        quiet = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self.study = optuna.create_study(directions=list(directions))
        finally:
            optuna.logging.set_verbosity(quiet)

    @abstractmethod
    def _sampler(self, seed: int) -> BaseSampler:
        """The sampler, at the start of a stream."""

    @abstractmethod
    def _values(self, population: Population, scores: Floats) -> list[list[float]]:
        """The study's objectives of each candidate."""

    def _attributes(self, index: int) -> dict[str, Any]:
        """What the sampler needs to know about the finished trial number `index`."""
        return {}

    def tell(self, population: Population, scores: Sequence[float] | Floats) -> None:
        from optuna.trial import create_trial

        begin = len(self.told)
        super().tell(population, scores)
        fresh = np.isfinite(self.scores[begin:])
        rows, values = self.told[begin:][fresh], self.scores[begin:][fresh]
        index = int(np.isfinite(self.scores[:begin]).sum())
        for row, objectives in zip(rows.tolist(), self._values(rows, values), strict=True):
            trial = create_trial(
                params=dict(zip(self.distributions, row, strict=True)),
                distributions=self.distributions,
                values=objectives,
                system_attrs=self._attributes(index),
            )
            self.study.add_trial(trial)
            index += 1

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        from optuna.trial import TrialState

        found = np.zeros((0, self.told.shape[1]), dtype=np.int64)
        for draw in range(DRAWS * count):
            self.study.sampler = self._sampler(derive_seed(self.seed, "optuna", len(self._known), draw) % 2**32)
            trial = self.study.ask(self.distributions)
            row = np.array([[trial.params[name] for name in self.distributions]], dtype=np.int64)
            self.study.tell(trial, state=TrialState.FAIL)  # what counts is told when it has been trained
            found = np.concatenate([found, self._new(self.feasible.repair(row.reshape(1, -1), rng), 1, found)])
            if len(found) == count:
                break
        return found
