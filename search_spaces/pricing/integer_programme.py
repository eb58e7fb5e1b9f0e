"""Genotypes as the 0-1 variables of an integer programme (HiGHS), in which additive costs are linear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from search_spaces.pricing.additive import AdditiveCost, Floats, merged_tables
from search_spaces.space import Genotype


class GenotypeProgramme:
    """The variables of a programme over the genotypes that `costs` price, and what is the same in all such programmes.

    Columns: a binary x[v, k] per choice (`choices` in all), which sum to 1 for every gene v; per term of several genes
    a weight y[t, a, b, ...] >= 0 per combination, whose sums over all genes but one are that gene's x, so that y is
    the one combination that x chose; then `extra` columns >= 0 of the caller's. `prices[i]` times the columns is
    `costs[i]` without its fixed part. Combinations of infinite cost are no choice: the solver never sees an infinity.
    """

    def __init__(self, costs: Sequence[AdditiveCost], extra: int = 0) -> None:
        self.sizes = np.array(costs[0].cardinalities)
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])
        self.choices = int(self.offsets[-1])
        tables = [merged_tables(cost) for cost in costs]
        shapes = {genes: table.shape for found in tables for genes, table in found.items()}
        starts, width = {}, self.choices
        for genes, shape in shapes.items():
            starts[genes] = int(self.offsets[genes[0]]) if len(genes) == 1 else width
            width += int(np.prod(shape)) if len(genes) > 1 else 0
        self.width = width + extra
        self.upper = np.ones(self.width)
        self.upper[width:] = np.inf
        self.prices = np.zeros((len(costs), self.width))
        for price, found in zip(self.prices, tables, strict=True):
            for genes, table in found.items():
                cells = slice(starts[genes], starts[genes] + table.size)
                price[cells] += np.where(np.isfinite(table), table, 0.0).ravel()
                self.upper[cells] *= np.isfinite(table).ravel()
        self.ties = self._ties({genes: start for genes, start in starts.items() if len(genes) > 1}, shapes)

    def _ties(
        self, starts: dict[tuple[int, ...], int], shapes: dict[tuple[int, ...], tuple[int, ...]]
    ) -> LinearConstraint:
        """`sum_k x[v, k] = 1` of every gene, and the sums of y that are x."""
        rows = np.repeat(np.arange(len(self.sizes)), self.sizes).tolist()
        columns, values, right = list(range(self.choices)), [1.0] * self.choices, [1.0] * len(self.sizes)
        for genes, start in starts.items():
            index = start + np.arange(np.prod(shapes[genes])).reshape(shapes[genes])
            for axis, gene in enumerate(genes):
                for k, members in enumerate(np.moveaxis(index, axis, 0).reshape(shapes[genes][axis], -1)):
                    rows += [len(right)] * (len(members) + 1)
                    columns += [*members.tolist(), int(self.offsets[gene]) + k]
                    values += [1.0] * len(members) + [-1.0]
                    right.append(0.0)
        matrix = coo_array((values, (rows, columns)), shape=(len(right), self.width)).tocsr()
        return LinearConstraint(matrix, right, right)

    def excluding(self, genotype: Genotype, heard: NDArray[np.bool_], distance: int = 1) -> LinearConstraint:
        """The constraint that the genotypes meet which differ from this one in `distance` of the genes that are `heard`
        in it (genes,), or in all of these where they are fewer."""
        taken = np.zeros(self.width)
        taken[(self.offsets[:-1] + np.array(genotype))[heard]] = 1
        return LinearConstraint(taken[None, :], -np.inf, max(0, int(heard.sum()) - distance))

    def minimise(self, objective: Floats, constraints: Sequence[LinearConstraint]) -> Genotype | None:
        """The genotype of the columns that minimise `objective` (columns,) under `constraints`; None: there is none."""
        integrality = np.zeros(self.width)
        integrality[: self.choices] = 1
        solution = milp(
            objective,
            integrality=integrality,
            bounds=Bounds(0, self.upper),
            constraints=[self.ties, *constraints],
            options={"mip_rel_gap": 0.0},
        )
        if solution.status == 2:  # infeasible
            return None
        if solution.x is None:
            raise RuntimeError(f"the integer programme ended without an answer: {solution.message}")
        return tuple(int(solution.x[a : a + n].argmax()) for a, n in zip(self.offsets[:-1], self.sizes, strict=True))
