"""The plain features of a candidate that baselines read: encoded choices beside standardised free statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictors.base import Floats, Statistics
from predictors.encoding import Encoding, Ordered
from search_spaces.space import Population, Variable


class Features:
    """`features(population)`: (n, width) columns of the encoding, then the free statistics of the architecture genes.

    Statistics are standardised by mean and deviation over the population given to `fit_statistics`.
    """

    def __init__(
        self,
        variables: Sequence[Variable],
        recipe_variables: Sequence[Variable] = (),
        statistics: Statistics | None = None,
        ordered: Ordered = "scaled",
    ) -> None:
        self.encoding = Encoding((*variables, *recipe_variables), ordered)
        self.genes = len(variables)
        self.statistics = statistics
        self._mean = self._std = np.zeros(0)

    def statistics_of(self, population: Population) -> Floats:
        """The raw free statistics (n, s) of the architecture genes, checked: finite, one row per genotype."""
        if self.statistics is None:
            return np.zeros((len(population), 0))
        return checked_statistics(self.statistics, population[:, : self.genes])

    def fit_statistics(self, population: Population) -> None:
        """Take the scale of the statistics from `population`."""
        raw = self.statistics_of(self.encoding.check(population))
        self._mean, self._std = standardisation(raw)

    def __call__(self, population: Population) -> Floats:
        encoded = self.encoding.encode(population)
        if self.statistics is None:
            return encoded
        raw = self.statistics_of(np.atleast_2d(population))
        return np.concatenate([encoded, (raw - self._mean) / self._std], axis=1)


def checked_statistics(statistics: Statistics, architectures: Population) -> Floats:
    """`statistics(architectures)`, refused with a `ValueError` where it is not a finite matrix (n, s)."""
    values = np.asarray(statistics(architectures), dtype=np.float64)
    if values.ndim != 2 or len(values) != len(architectures):
        raise ValueError(
            f"statistics of {len(architectures)} architectures must be a matrix ({len(architectures)}, s), got "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(f"statistic {column} of architecture {architectures[row].tolist()} is {values[row, column]}")
    return values


def standardisation(values: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of each column, the latter 1 where a column is constant."""
    std = values.std(axis=0)
    return values.mean(axis=0), np.where(std > 1e-12 * (1 + np.abs(values).max(axis=0, initial=0)), std, 1.0)
