"""Costs that are sums over layers, compiled to arrays: the price of a population is a few gathers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CHUNK = 8192  # genotypes priced at a time: their columns stay in the cache


@dataclass(frozen=True)
class AdditiveCost:
    """`cost(g) = fixed + sum_t tables[t][g[variables[t]]]` of a genotype g: parameters, MACs, milliseconds...

    `variables[t]`: the genes that term t depends on; `tables[t]`: its values, one axis per such gene. `cardinalities`:
    the number of choices of every gene.
    """

    fixed: float
    variables: tuple[tuple[int, ...], ...]
    tables: tuple[Floats, ...]
    cardinalities: tuple[int, ...]

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

    def __call__(self, population: NDArray[np.int64]) -> Floats:
        """Cost of every genotype of `population` (n, genes): (n,)."""
        population = np.atleast_2d(population)
        total = np.full(len(population), self.fixed)
        flat = [np.ascontiguousarray(table).reshape(-1) for table in self.tables]
        for start in range(0, len(population), CHUNK):
            columns = np.ascontiguousarray(population[start : start + CHUNK].T)
            part = total[start : start + CHUNK]
            for genes, table, values in zip(self.variables, self.tables, flat, strict=True):
                index = columns[genes[0]]
                for gene, size in zip(genes[1:], table.shape[1:], strict=True):
                    index = index * size + columns[gene]
                part += values[index]
        return total

    def reachable(self) -> tuple[float, float]:
        """Smallest and largest cost of any genotype, summed as `__call__` sums, so that limits compare exactly."""
        low, high = self(np.array([self.cheapest(), self.most_expensive()]))
        return float(low), float(high)

    def cheapest(self) -> tuple[int, ...]:
        """A genotype of smallest cost, exactly."""
        return minimum(self.variables, self.tables, self.cardinalities)

    def most_expensive(self) -> tuple[int, ...]:
        """A genotype of largest cost, exactly."""
        return minimum(self.variables, tuple(-table for table in self.tables), self.cardinalities)


def price(population: NDArray[np.int64], fixed: float, rows: Sequence[Floats]) -> Floats:
    """Cost of every genotype, by gather: `fixed + sum_i rows[i][g[:, i]]`; `population`: (n, genes)."""
    return AdditiveCost.of_rows(fixed, rows)(population)


def merged_tables(cost: AdditiveCost) -> dict[tuple[int, ...], Floats]:
    """The tables of `cost` by their variables, those of the same variables added."""
    merged: dict[tuple[int, ...], Floats] = {}
    for variables, table in zip(cost.variables, cost.tables, strict=True):
        merged[variables] = merged[variables] + table if variables in merged else table
    return merged


def minimum(
    variables: Sequence[tuple[int, ...]], tables: Sequence[Floats], cardinalities: Sequence[int]
) -> tuple[int, ...]:
    """Genes of a smallest sum of `tables`, by eliminating one variable after the other (min-sum)."""
    factors = list(zip(variables, tables, strict=True))
    left = set(range(len(cardinalities)))
    answers: list[tuple[int, tuple[int, ...], NDArray[np.int64]]] = []
    while left:
        scopes = {v: sorted({u for genes, _ in factors if v in genes for u in genes} - {v}) for v in left}
        # the variable whose removal leaves the smallest table
        gene = min(left, key=lambda v: (np.prod([cardinalities[u] for u in scopes[v]], dtype=float), v))
        scope = (gene, *scopes[gene])
        joint = np.zeros([cardinalities[u] for u in scope])
        for genes, table in factors:
            if gene in genes:
                joint = joint + _spread(table, genes, scope)
        answers.append((gene, scope[1:], np.asarray(joint.argmin(axis=0))))
        factors = [(genes, table) for genes, table in factors if gene not in genes]
        if scope[1:]:
            factors.append((scope[1:], joint.min(axis=0)))
        left.remove(gene)
    found: dict[int, int] = {}
    for gene, scope, best in reversed(answers):
        found[gene] = int(best[tuple(found[u] for u in scope)])
    return tuple(found[v] for v in range(len(cardinalities)))


def _spread(table: Floats, genes: tuple[int, ...], scope: tuple[int, ...]) -> Floats:
    """`table` over `genes` with its axes in the order of `scope`, of size 1 for genes it does not know."""
    order = sorted(range(len(genes)), key=lambda axis: scope.index(genes[axis]))
    sizes = {genes[axis]: table.shape[axis] for axis in order}
    return table.transpose(order).reshape([sizes.get(gene, 1) for gene in scope])
