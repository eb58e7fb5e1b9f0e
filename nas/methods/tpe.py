"""Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.methods.base import CandidateMethod
from nas.methods.optuna_proposal import OptunaProposal
from nas.methods.proposal import Proposal
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from search_spaces.pricing.budgets import Feasible


class TPE(CandidateMethod):
    """Optuna's TPE over the genes, random for the first `startup_candidates`."""

    def __init__(self, *, startup_candidates: int) -> None:
        if startup_candidates < 1:
            raise ValueError(f"startup_candidates must be >= 1, got {startup_candidates}")
        self.startup_candidates = startup_candidates

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _TPE(feasible, seed, self.startup_candidates)


class _TPE(OptunaProposal):
    def __init__(self, feasible: Feasible, seed: int, startup_candidates: int) -> None:
        super().__init__(feasible, seed, ["maximize"])
        self.startup_candidates = startup_candidates

    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.startup_candidates, seed=seed)

    def _values(self, population: Population, scores: Floats) -> list[list[float]]:
        return [[float(score)] for score in scores]
