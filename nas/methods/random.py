"""Random search: what every other method has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.proposal import Proposal
from search_spaces.space import Population

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible


class RandomSearch(CandidateMethod):
    """Genotypes drawn uniformly; with budgets, draws over budget are repaired (`Feasible.repair`).

    Nothing comes before them: others are compared with what chance finds.
    """

    begins_with_given: ClassVar[bool] = False

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        return _Random(feasible, seed)


class _Random(Proposal):
    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        left = self.unknown()
        if left is not None:
            return left[rng.permutation(len(left))[:count]]
        return self.feasible.sample(count, rng)
