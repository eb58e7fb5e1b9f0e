"""SMAC3 (Lindauer et al., JMLR 2022) as a proposal: a random forest, expected improvement; `pip install smac`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.proposal import Proposal
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible

STARTUP = 10  # configurations of its initial design, as many as Optuna's samplers begin with
DRAWS = 50  # suggestions for one candidate before random ones fill up


class Smac(CandidateMethod):
    """SMAC's facade for hyperparameter optimisation; suggestions beyond a limit are repaired as those of others are."""

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Smac(feasible, seed)


class _Smac(Proposal):
    def __init__(self, feasible: Feasible, seed: int) -> None:
        from ConfigSpace import Categorical, ConfigurationSpace, Integer
        from smac import HyperparameterOptimizationFacade, Scenario

        super().__init__(feasible, seed)
        self.names = [f"{i:03d}" for i in range(len(self.space.variables))]
        space = ConfigurationSpace(seed=seed)
        for name, variable in zip(self.names, self.space.variables, strict=True):
            if len(variable) > 1:
                ordered = variable.ordered
                last = len(variable) - 1
                space.add(Integer(name, (0, last)) if ordered else Categorical(name, list(range(last + 1))))
        self._folder = tempfile.TemporaryDirectory(prefix="smac")  # it keeps its history there
        where = Path(self._folder.name)
        scenario = Scenario(space, deterministic=True, n_trials=1000, seed=seed, output_directory=where)
        design = HyperparameterOptimizationFacade.get_initial_design(scenario, n_configs=STARTUP)
        self.smac = HyperparameterOptimizationFacade(
            scenario, lambda config, seed: 0.0, initial_design=design, logging_level=False, overwrite=True
        )
        self._asked: dict[bytes, Any] = {}

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        for _ in range(DRAWS):
            trial = self.smac.ask()
            values = dict(trial.config)
            row = np.array([[int(values.get(name, 0)) for name in self.names]], dtype=np.int64)
            found = self._new(self.feasible.repair(row, rng), 1)
            if len(found):
                self._asked[found[0].tobytes()] = trial
                return found
            self._say(trial, float(np.nanmin(self.scores)))  # what it was repaired to is known: nothing is learnt
        return self.told[:0]

    def tell(self, population: Population, scores: Sequence[float] | Floats) -> None:
        begin = len(self.told)
        super().tell(population, scores)
        for row, score in zip(self.told[begin:], self.scores[begin:], strict=True):
            trial = self._asked.pop(row.tobytes(), None)
            if trial is not None:
                self._say(trial, float(score))

    def _say(self, trial: Any, score: float) -> None:
        from smac.runhistory.dataclasses import TrialValue

        self.smac.tell(trial, TrialValue(cost=-score))
