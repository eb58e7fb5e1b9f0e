"""A Gaussian process that knows how genotypes are built: like choices act alike, near positions too, effects add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from predictors.base import Statistics
from search_spaces.plain_data.annotations import Count
from search_spaces.plain_data.fields import check_fields
from search_spaces.space import Population, Variable

if TYPE_CHECKING:
    from predictors.process.model import Process


@dataclass(frozen=True)
class StructuredProcess:
    """Hyper-parameters; few, as those of the kernel are fitted to the evidence under the priors of `process_model`.

    `iterations`: of L-BFGS at most. `statistics`: false leaves the free statistics out.
    """

    iterations: Count = 60
    statistics: bool = True

    def __post_init__(self) -> None:
        check_fields(self, "predictor")

    def build(
        self,
        *,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
    ) -> Process:
        """The predictor; statistics enter as normal scores among architectures of the space, or of `pool`."""
        from predictors.process.model import Process
        from predictors.scores import NormalScores

        scores = None
        if statistics is not None and self.statistics:
            scores = NormalScores.of(variables, statistics, np.random.default_rng([seed, 2]), pool)
        return Process(variables, recipe_variables, scores, self.iterations)
