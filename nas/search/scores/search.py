"""Searching a table of scores: what a method would have found with so many trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.methods.base import CandidateMethod, Method, is_supernet
from nas.search.scores.table import ScoredTable
from search_spaces.pricing.genotype_cost import Floats
from search_spaces.space import Population
from search_spaces.wrappers.listed import ListedFeasible


@dataclass(frozen=True)
class LookedUp:
    """What a search of `table` asked for: `points` (n, variables) in their order and their `scores` (n,), NaN: failed.

    `within`: the highest score of all points within the limits.
    """

    table: ScoredTable
    points: Population
    scores: Floats
    within: float

    @property
    def best(self) -> dict[str, object]:
        """The choices of the best point found, by their names. Raises `ValueError` where all trials failed."""
        return self.table.space.choices_of(self.points[self._best])

    @property
    def score(self) -> float:
        """The score of the best point found. Raises `ValueError` where all trials failed."""
        return float(self.scores[self._best])

    @property
    def _best(self) -> int:
        if np.isnan(self.scores).all():
            raise ValueError(f"all {len(self.scores)} trials of {self.table.space.name} failed; give more evaluations")
        return int(np.nanargmax(self.scores))

    @property
    def best_so_far(self) -> Floats:
        """The best score after each trial; NaN before the first that did not fail."""
        found = np.fmax.accumulate(self.scores)
        return np.asarray(found)

    @property
    def regret(self) -> Floats:
        """After each trial, how far the best found lies below the best within the limits."""
        return self.within - self.best_so_far


def search_scores(
    table: ScoredTable,
    method: Method,
    evaluations: int,
    limits: Mapping[str, float] | None = None,
    batch: int = 1,
    seed: int = 0,
) -> LookedUp:
    """`evaluations` trials of `method` over `table` within `limits` on its costs, one proposed whenever fewer than
    `batch` are not told, as in a search that trains so many at a time.

    It ends earlier where all points within the limits were tried. Raises `ValueError` where a limit names no cost,
    where no point is within, and for a method that trains a supernet: a table has nothing to train.
    """
    if evaluations < 1 or batch < 1:
        raise ValueError(f"evaluations and batch must be >= 1, got {evaluations} and {batch}")
    if is_supernet(method):
        raise ValueError(
            f"{type(method).__name__} trains a supernet and a table has nothing to train; use predictor, tpe, "
            "regularized_evolution, nsga2 or random"
        )
    feasible = ListedFeasible(table.space, table.costs, limits or {})
    assert isinstance(method, CandidateMethod)
    proposal = method.start(feasible, seed)
    within = table.scores[table.space.index(feasible.within)]
    if np.isnan(within).all():
        raise ValueError(f"every point of {table.space.name} within the limits failed")
    while len(proposal.told) < evaluations:
        while len(proposal.pending) < min(batch, evaluations - len(proposal.told)) and len(proposal.ask(1)):
            pass
        if not len(proposal.pending):
            break
        oldest = proposal.pending[:1]
        proposal.tell(oldest, table.scores[table.space.index(oldest)])
    return LookedUp(table, proposal.told, proposal.scores, float(np.nanmax(within)))
