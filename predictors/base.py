"""What every predictor is, and how one is made from a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from search_spaces.pricing.additive import Floats as Floats
from search_spaces.space import Population, Variable

Statistics = Callable[[Population], Floats]
"""Free statistics of architectures: (n, architecture genes) -> (n, s). Costs nothing but computation: no training."""


class Predictor(Protocol):
    """A surrogate: fitted on few trained candidates, asked about many others."""

    def fit(self, population: Population, targets: Floats) -> None:
        """Learn from `targets` (n,), higher is better, of `population` (n, genes). What was fitted before is gone.

        Genes are those of the architecture, followed by those of the recipe where it is searched too.
        """

    def predict(self, population: Population) -> tuple[Floats, Floats]:
        """`(mean, std)`, each (n,): the expected target in the targets' unit, and how unsure that is."""


class PredictorCard(Protocol):
    """The hyper-parameters of a predictor, as data; what yaml cards in conf/predictor name by `_target_`."""

    def build(
        self,
        *,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        seed: int = 0,
        pool: Population | None = None,
    ) -> Predictor:
        """A predictor of genotypes over `variables` (architecture), then `recipe_variables`.

        `statistics`: free statistics of architectures. `pool`: (n, architecture genes) the architectures there are,
        where not every genotype is one; predictors that learn from unlabelled architectures draw them from it.
        """


def training_data(population: Population, targets: Floats) -> tuple[Population, Floats]:
    """Both, checked: as many finite targets as genotypes, at least two that differ, on a scale that can be computed
    with. Raises `ValueError`."""
    population, targets = np.asarray(population), np.asarray(targets, dtype=np.float64)
    if population.ndim != 2 or targets.shape != (len(population),):
        raise ValueError(
            f"a training set is a matrix of genotypes with one target each, got {population.shape} and {targets.shape}"
        )
    if not np.isfinite(targets).all():
        row = int(np.flatnonzero(~np.isfinite(targets))[0])
        raise ValueError(f"target {row} is {targets[row]}; leave out trainings that failed")
    if len(targets) < 2 or targets.min() == targets.max():
        raise ValueError(
            f"{len(targets)} targets without a difference cannot be ranked; train at least two candidates that differ"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(targets.std())
    if not 0 < deviation < np.inf:
        raise ValueError(
            f"targets from {targets.min():g} to {targets.max():g} have no deviation that can be computed; leave out "
            "what stands for failed trainings, or give them in another unit"
        )
    return population, targets


def not_fitted(name: str) -> ValueError:
    """The error of a prediction before any fit."""
    return ValueError(f"{name} has seen no targets yet; call fit(population, targets) first")
