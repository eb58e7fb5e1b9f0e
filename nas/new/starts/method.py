"""The search method my_name: which candidates are trained next, knowing how good those before were.

python -m nas.search --config-dir my_cards method=my_name budget.macs=7000000
"""

import numpy as np

from nas.methods.base import CandidateMethod
from nas.methods.proposal import Proposal
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Population


class MyName(CandidateMethod):
    """Changes some choices of the best candidates so far. The card's keys are the arguments of `__init__`."""

    def __init__(self, parents: int = 4, changes: float = 1.0) -> None:
        if parents < 1:
            raise ValueError(f"parents must be at least 1, got {parents}")
        self.parents, self.changes = parents, changes

    def start(self, feasible: Feasible, seed: int) -> Proposal:
        """One search among the candidates of `feasible`: those of the space that are within the budgets."""
        return MyNameProposal(feasible, seed, self)


class MyNameProposal(Proposal):
    """One search: asked for candidates, told their scores (accuracies, 0 to 1), asked for more."""

    def __init__(self, feasible: Feasible, seed: int, method: MyName) -> None:
        super().__init__(feasible, seed)
        self.method = method

    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        """More than `count` genotypes, an integer matrix (n, choices of the space), best first.

        What is known already is left out by the caller, and what misses a budget must not be among them. Draw from
        `rng` alone: a search that was interrupted then goes on as it would have.
        """
        best = self.best(self.method.parents)  # `self.told` and `self.scores` hold all
        if not len(best):
            return self.feasible.sample(count, rng)
        parents = np.repeat(best, 4 * count, axis=0)
        children = self.space.mutate(parents, rng, self.method.changes / parents.shape[1])
        return self.feasible.repair(rng.permutation(children), rng)
