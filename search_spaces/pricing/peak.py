"""Costs of which the largest over all layers counts: the peak of what is alive in memory at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.genotype_cost import GenotypeCost, minimum


class PeakCost(GenotypeCost):
    """`cost(g) = max(fixed, max_t tables[t][g[variables[t]]])` of a genotype g; nothing is negative.

    A limit on it forbids combinations of genes and nothing else (`within`), so that whatever meets the limit is found
    by the programmes for sums, exactly.
    """

    join: ClassVar[np.ufunc] = np.maximum

    @staticmethod
    def joined(values: Sequence[float]) -> float:
        return max(values, default=0.0)

    def cheapest(self) -> tuple[int, ...]:
        return minimum(self.variables, self.tables, self.cardinalities, np.maximum)

    def most_expensive(self) -> tuple[int, ...]:
        possible = [np.where(np.isfinite(table), 0.0, np.inf) for table in self.tables]
        values = np.unique(np.concatenate([np.zeros(1), *(table[np.isfinite(table)] for table in self.tables)]))
        for value in values[::-1]:
            for t, table in enumerate(self.tables):
                if (table == value).any():
                    forced = [*possible[:t], np.where(table == value, 0.0, np.inf), *possible[t + 1 :]]
                    found = minimum(self.variables, forced, self.cardinalities)
                    if np.isfinite(self(np.array([found]))[0]):
                        return found
        return minimum(self.variables, possible, self.cardinalities)

    def within(self, limit: float) -> AdditiveCost:
        """The sum that is 0 where this cost is at most `limit`, and infinite elsewhere."""
        tables = tuple(np.where(table <= limit, 0.0, np.inf) for table in self.tables)
        fixed = 0.0 if self.fixed <= limit else np.inf
        return AdditiveCost(fixed, self.variables, tables, self.cardinalities, self.rising)

    def values(self) -> NDArray[np.float64]:
        """The values that it can take, and perhaps some that it cannot, ascending."""
        finite = [table[np.isfinite(table)] for table in self.tables]
        return np.unique(np.maximum(self.fixed, np.concatenate([np.array([self.fixed]), *finite])))

    def blame(self, population: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
        """The genes of the terms that are over `limit`; all, where genes are sorted before they are read."""
        found = np.zeros(population.shape, dtype=bool)
        if self.rising:
            found[:] = (self(population) > limit)[:, None]
            return found
        columns = np.ascontiguousarray(population.T)
        for genes, table, cells in zip(self.variables, self.tables, self._cells(columns), strict=True):
            over = np.ascontiguousarray(table).reshape(-1)[cells] > limit
            found[:, list(genes)] |= over[:, None]
        return found
