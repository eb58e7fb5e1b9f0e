"""NSGA-II (Deb et al., 2002), by Optuna: the front of score against the budgeted costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nas.methods.base import CandidateMethod
from nas.methods.optuna_proposal import Direction, OptunaProposal
from nas.methods.proposal import Proposal
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from search_spaces.pricing.budgets import Feasible


class NSGA2(CandidateMethod):
    """Optuna's NSGA-II: maximises the score and minimises each cost that has a budget (the score alone without one).

    Generations are consecutive groups of `population_size` told candidates.
    """

    def __init__(self, *, population_size: int) -> None:
        if population_size < 2:
            raise ValueError(f"population_size must be >= 2, got {population_size}")
        self.population_size = population_size

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _NSGA2(feasible, seed, self.population_size)


class _NSGA2(OptunaProposal):
    def __init__(self, feasible: Feasible, seed: int, population_size: int) -> None:
        costs: list[Direction] = ["minimize"] * len(feasible.limits)
        super().__init__(feasible, seed, ["maximize", *costs])
        self.population_size = population_size

    def _sampler(self, seed: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(population_size=self.population_size, seed=seed)

    def _values(self, population: Population, scores: Floats) -> list[list[float]]:
        costs = self.feasible.costs(population)
        return [[float(score), *map(float, row)] for score, row in zip(scores, costs, strict=True)]

    def _attributes(self, index: int) -> dict[str, Any]:
        # Optuna writes this when it samples a trial; ours are told, perhaps by a search that continues
        return {"NSGAIISampler:generation": index // self.population_size}
