"""What searches them: the product's methods by their cards, and two of Optuna's samplers users might take instead."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments.search_small_budgets.smac_sampler import Smac
from nas.methods.base import CandidateMethod, Method
from nas.methods.optuna_proposal import OptunaProposal
from nas.methods.proposal import Proposal
from nas.methods.tpe import TPE
from nas.runs.seeding import derive_seed
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import compose
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

    from search_spaces.pricing.budgets import Feasible

STARTUP = 10  # random candidates first; Optuna's default
BLIND = 400  # suggestions beyond the limits in a row after which random ones within them are taken
UPPER, IMPROVEMENT = "method.acquisition=upper_bound", "method.acquisition=expected_improvement"
# name: the card's settings, and how many candidates are proposed and not told at a time
CARDS = {
    "random": (["method=random"], 1),
    "regularized evolution": (["method=regularized_evolution"], 1),
    "tpe": (["method=tpe"], 1),
    "predictor, upper bound after 16": (["method=predictor", "method.initial=16", UPPER], 1),
    "predictor, upper bound after 6": (["method=predictor", "method.initial=6", UPPER], 1),
    "predictor, expected improvement after 16": (["method=predictor", "method.initial=16", IMPROVEMENT], 1),
    "predictor, blend, expected improvement after 6": (
        ["method=predictor", "predictor=blend", "method.initial=6", IMPROVEMENT],
        1,
    ),
    "predictor, expected improvement after 6": (["method=predictor", "method.initial=6", IMPROVEMENT], 1),
    **{
        f"predictor, expected improvement after 6, {count} under way": (
            ["method=predictor", "method.initial=6", IMPROVEMENT],
            count,
        )
        for count in (3, 4, 6, 12)
    },
}


class GaussianProcessSampler(CandidateMethod):
    """Optuna's GPSampler; suggestions beyond a limit are repaired as those of the other methods are."""

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Gaussian(feasible, seed, ["maximize"])


class _Gaussian(OptunaProposal):
    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=True)

    def _values(self, population: Population, scores: Floats) -> list[list[float]]:
        return [[float(score)] for score in scores]


class ConstrainedTPE(TPE):
    """Optuna's TPE told by `constraints_func` what lies beyond the limits: costs are known, so that this is free."""

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Constrained(feasible, seed, ["maximize"])


class _Constrained(OptunaProposal):
    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=STARTUP, seed=seed, constraints_func=self._excess)

    def _excess(self, trial: FrozenTrial) -> Sequence[float]:
        row = np.array([[trial.params[name] for name in self.distributions]], dtype=np.int64)
        return self._beyond(row)[0].tolist()

    def _beyond(self, population: Population) -> Floats:
        """(n, limits): by which share of a limit each is over it; at most 0 within."""
        return self.feasible.costs(population) / self.feasible.maxima - 1

    def _attributes(self, index: int) -> dict[str, list[float]]:
        return {"constraints": [0.0] * len(self.feasible.limits)}

    def _values(self, population: Population, scores: Floats) -> list[list[float]]:
        return [[float(score)] for score in scores]

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        found = np.zeros((0, self.told.shape[1]), dtype=np.int64)
        for draw in range(BLIND):
            self.study.sampler = self._sampler(derive_seed(self.seed, "constrained", len(self._known), draw) % 2**32)
            trial = self.study.ask(self.distributions)
            row = np.array([[trial.params[name] for name in self.distributions]], dtype=np.int64)
            within = bool(self.feasible.mask(row)[0])
            if within:
                from optuna.trial import TrialState

                self.study.tell(trial, state=TrialState.FAIL)  # what counts is told when it has been looked up
                found = np.concatenate([found, self._new(row, 1, found)])
            else:
                self.study.tell(trial, min(self.scores, default=0.0))
            if len(found) == count:
                break
        return found


def methods(is_limited: bool) -> dict[str, tuple[Method, int]]:
    """By name, the method and how many candidates it proposes at a time."""
    found = {
        name: (cards.build(compose("search", words)["method"], "method", {}), batch)
        for name, (words, batch) in CARDS.items()
    }
    found["Optuna's Gaussian process"] = (GaussianProcessSampler(), 1)
    if importlib.util.find_spec("smac") is not None:
        found["SMAC3"] = (Smac(), 1)
    if is_limited:
        found["tpe with constraints"] = (ConstrainedTPE(startup_candidates=STARTUP), 1)
    return found
