"""Genotypes as numbers: what a surrogate reads of a population."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

from search_spaces.pricing.additive import Floats
from search_spaces.resolution import Size, pixels
from search_spaces.space import Population, Variable

Ordered = Literal["scaled", "onehot", "both"]
LOG_SPAN = 10  # positive numeric choices that span this factor or more are scaled by their logarithms


class Encoding:
    """One-hot columns for unordered variables, one column in [0, 1] for ordered ones with numeric choices.

    This is the input of FBNetV3's predictor (arXiv 2006.02049, section 3: one-hot categories, min-max normalised
    numbers). `ordered`: how an ordered numeric variable is written: `scaled` (one column), `onehot`, or `both`.
    Image sizes that are not square count as the side of the square with as many pixels, unless two of them have equally
    many. Choices that are all positive and span a factor of `LOG_SPAN` or more (learning rates, widths) are scaled by
    their logarithms. A variable with a single choice says nothing and gets no column.

    `width`: number of columns. `tables[v]`: (choices of v, columns of v), what `encode` gathers from. `owner`: (width,)
    the variable of each column.
    """

    def __init__(self, variables: Sequence[Variable], ordered: Ordered = "scaled") -> None:
        if ordered not in ("scaled", "onehot", "both"):
            raise ValueError(f"ordered variables are encoded scaled, onehot or both, got {ordered!r}")
        self.variables = tuple(variables)
        self.tables: tuple[Floats, ...] = tuple(_columns(variable, ordered) for variable in self.variables)
        self.cardinalities = np.array([len(variable) for variable in self.variables], dtype=np.int64)
        self.owner = np.repeat(np.arange(len(self.tables)), [table.shape[1] for table in self.tables])
        self.width = len(self.owner)
        columns = [table[:, j] for table in self.tables for j in range(table.shape[1])]
        lengths = [len(column) for column in columns]
        self._values = np.concatenate(columns) if columns else np.zeros(0)
        self._starts = np.cumsum([0, *lengths[:-1]]).astype(np.int64)[: self.width]

    def encode(self, population: Population) -> Floats:
        """`population` (n, variables) as (n, width). Raises `ValueError` naming a gene that is out of range."""
        population = self.check(population)
        return self._values[self._starts + population[:, self.owner]]

    def check(self, population: Population) -> Population:
        """`population` as a matrix (n, variables) of genes in range, or a `ValueError` that names what is not."""
        population = np.atleast_2d(population)
        if population.ndim != 2 or population.shape[1] != len(self.variables):
            raise ValueError(
                f"a population is a matrix (n, {len(self.variables)}), one column per variable; got {population.shape}"
            )
        if not np.issubdtype(population.dtype, np.integer):
            raise ValueError(f"genes are whole numbers, got {population.dtype}; convert with .astype(int)")
        if len(population) and len(self.variables):
            low, high = population.min(axis=0), population.max(axis=0)
            wrong = np.flatnonzero((low < 0) | (high >= self.cardinalities))
            if len(wrong):
                v = int(wrong[0])
                gene = int(low[v] if low[v] < 0 else high[v])
                raise ValueError(f"{self.variables[v].name} has choices 0..{self.cardinalities[v] - 1}, got {gene}")
        return population


def scale(variable: Variable) -> Floats | None:
    """The choices of an ordered numeric `variable` mapped to [0, 1]: (choices,); None where it is not such a one."""
    choices = [math.sqrt(pixels(c)) if isinstance(c, Size) else c for c in variable.choices]
    if not variable.ordered or len(choices) < 2:
        return None
    if any(isinstance(c, bool) or not isinstance(c, int | float) or not math.isfinite(c) for c in choices):
        return None
    values = np.array(choices, dtype=np.float64)
    if len(np.unique(values)) < len(values):
        return None
    if values.min() > 0 and values.max() / values.min() >= LOG_SPAN:
        values = np.log(values)
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else None


def _columns(variable: Variable, ordered: Ordered) -> Floats:
    count = len(variable)
    if count == 1:
        return np.zeros((1, 0))
    scaled, onehot = scale(variable), np.eye(count)
    if scaled is None or ordered == "onehot":
        return onehot
    return scaled[:, None] if ordered == "scaled" else np.concatenate([scaled[:, None], onehot], axis=1)
