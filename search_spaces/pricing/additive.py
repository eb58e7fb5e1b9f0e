"""Costs that are sums over layers: parameters, multiply-adds, milliseconds, bytes of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.genotype_cost import Floats, GenotypeCost, minimum

__all__ = ["AdditiveCost", "Floats", "merged_tables", "minimum", "price"]


class AdditiveCost(GenotypeCost):
    """`cost(g) = fixed + sum_t tables[t][g[variables[t]]]` of a genotype g; a population's is a few gathers."""

    join: ClassVar[np.ufunc] = np.add

    @staticmethod
    def joined(values: Sequence[float]) -> float:
        return sum(values)

    @staticmethod
    def of_rows(fixed: float, rows: Sequence[Floats]) -> AdditiveCost:
        """`fixed + sum_i rows[i][g[i]]`: every gene has a price of its own."""
        return AdditiveCost(fixed, tuple((i,) for i in range(len(rows))), tuple(rows), tuple(len(row) for row in rows))

    @property
    def rows(self) -> tuple[Floats, ...]:
        """`tables`, where every gene has a price of its own. Raises `ValueError` where genes are priced together."""
        if self.variables != tuple((i,) for i in range(len(self.cardinalities))):
            raise ValueError("this cost prices several choices together; it has no row per choice")
        return self.tables

    def cheapest(self) -> tuple[int, ...]:
        return minimum(self.variables, self.tables, self.cardinalities)

    def most_expensive(self) -> tuple[int, ...]:
        tables = tuple(np.where(np.isfinite(table), -table, np.inf) for table in self.tables)
        return minimum(self.variables, tables, self.cardinalities)


def price(population: NDArray[np.int64], fixed: float, rows: Sequence[Floats]) -> Floats:
    """Cost of every genotype, by gather: `fixed + sum_i rows[i][g[:, i]]`; `population`: (n, genes)."""
    return AdditiveCost.of_rows(fixed, rows)(population)


def merged_tables(cost: AdditiveCost) -> dict[tuple[int, ...], Floats]:
    """The tables of `cost` by their variables, those of the same variables added."""
    merged: dict[tuple[int, ...], Floats] = {}
    for variables, table in zip(cost.variables, cost.tables, strict=True):
        merged[variables] = merged[variables] + table if variables in merged else table
    return merged
