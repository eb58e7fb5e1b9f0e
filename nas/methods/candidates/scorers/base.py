"""What a scorer is: it makes the jobs that give candidates their scores, and says what these depend on."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from nas.methods.candidates.executors.base import Work
from search_spaces.plain_data.identity import Identity
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Genotype


class Scorer(Protocol):
    """A way to score candidates.

    `work`: a module-level function from one of its jobs, wherever an executor has its workers, to figures; of these
    `top1_percent`, on the validation images, is the score. `doing`: what that is called while it goes on.
    """

    work: ClassVar[Work]
    doing: ClassVar[str]

    def job(self, candidate: str, genotype: Genotype) -> Any:
        """The picklable job of the candidate of that id and genotype."""
        ...

    def identity(self, feasible: Feasible) -> Identity:
        """All that scores in the space of `feasible` depend on, beside its networks."""
        ...
