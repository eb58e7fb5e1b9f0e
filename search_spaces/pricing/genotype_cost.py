"""Costs of genotypes compiled to arrays: what those that add up and those of which the largest counts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Costs, scores, probabilities: float64 of any shape, which is said where it is used."""

CHUNK = 8192  # genotypes priced at a time: their columns stay in the cache


@dataclass(frozen=True)
class GenotypeCost(ABC):
    """`fixed` and the values `tables[t][g[variables[t]]]` of all terms t, joined: the cost of a genotype g.

    `variables[t]`: the genes that term t depends on; `tables[t]`: its values, one axis per such gene, infinite where no
    network has these. `cardinalities`: the number of choices of every gene. `rising`: genes that are read in ascending
    order.
    """

    fixed: float
    variables: tuple[tuple[int, ...], ...]
    tables: tuple[Floats, ...]
    cardinalities: tuple[int, ...]
    rising: tuple[int, ...] = ()

    join: ClassVar[np.ufunc]

    @staticmethod
    @abstractmethod
    def joined(values: Sequence[float]) -> float:
        """`values` joined one after the other; 0 for none."""

    def __call__(self, population: NDArray[np.int64]) -> Floats:
        """Cost of every genotype of `population` (n, genes): (n,)."""
        population = ascending(np.atleast_2d(population), self.rising)
        total = np.full(len(population), self.fixed)
        flat = [np.ascontiguousarray(table).reshape(-1) for table in self.tables]
        for start in range(0, len(population), CHUNK):
            columns = np.ascontiguousarray(population[start : start + CHUNK].T)
            part = total[start : start + CHUNK]
            for index, values in zip(self._cells(columns), flat, strict=True):
                self.join(part, values[index], out=part)
        return total

    def _cells(self, columns: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Per term, which entry of its flat table each genotype has; `columns`: (genes, n)."""
        for genes, table in zip(self.variables, self.tables, strict=True):
            index = columns[genes[0]]
            for gene, size in zip(genes[1:], table.shape[1:], strict=True):
                index = index * size + columns[gene]
            yield index

    def reachable(self) -> tuple[float, float]:
        """Smallest and largest cost of any genotype, joined as `__call__` joins, so that limits compare exactly."""
        low, high = self(np.array([self.cheapest(), self.most_expensive()]))
        return float(low), float(high)

    @abstractmethod
    def cheapest(self) -> tuple[int, ...]:
        """A genotype of smallest cost, exactly."""

    @abstractmethod
    def most_expensive(self) -> tuple[int, ...]:
        """A genotype of largest cost, exactly."""

    def blame(self, population: NDArray[np.int64], limit: float) -> NDArray[np.bool_]:
        """(n, genes): which genes can be changed to bring a genotype over `limit` nearer to it."""
        return np.ones(population.shape, dtype=bool)


CostKind = TypeVar("CostKind", bound=GenotypeCost)


def ascending(population: NDArray[np.int64], rising: Sequence[int]) -> NDArray[np.int64]:
    """`population` (n, variables) with the genes of `rising` in every row sorted; a copy where there are any."""
    if not rising:
        return population
    found = np.array(population)
    found[:, rising] = np.sort(found[:, rising], axis=1)
    return found


def minimum(
    variables: Sequence[tuple[int, ...]],
    tables: Sequence[Floats],
    cardinalities: Sequence[int],
    join: np.ufunc = np.add,
) -> tuple[int, ...]:
    """Genes of a smallest `join` of `tables`, by eliminating one variable after the other (min-sum, min-max).

    For `np.maximum` tables must not be negative.
    """
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
                joint = join(joint, _spread(table, genes, scope))
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
