"""Spaces whose points are rows of a table: searched as any space is, and looked up where others are built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.pricing.budgets import Feasible, Limit
from search_spaces.pricing.genotype_cost import Floats, GenotypeCost
from search_spaces.pricing.limits import as_typed
from search_spaces.space import Genotype, Population, SearchSpace, Term, Variable

NEAREST_OF = 4096  # points, drawn anew each time, among which the nearest to one that is not listed is looked for


class ListedSpace(SearchSpace):
    """The distinct genotypes `points` (n, variables) of `variables`, not every combination of which need be there.

    The last `recipe_variables` of the variables say how something is trained, those before them what. Raises
    `ValueError` for points that repeat or lie outside of the variables.
    """

    def __init__(self, name: str, variables: Sequence[Variable], points: Population, recipe_variables: int = 0) -> None:
        self.name = name
        self._variables = tuple(variables)
        self._points = np.ascontiguousarray(points, dtype=np.int64).reshape(-1, len(self._variables))
        self.recipe_variables = recipe_variables
        if not len(self._points):
            raise ValueError(f"{name} lists no point")
        if ((self._points < 0) | (self._points >= self.cardinalities)).any():
            raise ValueError(f"{name} lists points outside of its variables' choices")
        if (np.diff(self._keys[1]) == 0).any():
            raise ValueError(f"{name} lists a point twice")

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    @property
    def listed(self) -> Population:
        return self._points

    @property
    def size(self) -> int:
        return len(self._points)

    @property
    def terms(self) -> tuple[Term, ...]:
        return ()

    @cached_property
    def _weights(self) -> NDArray[np.int64]:
        return np.random.default_rng(0).integers(1, 2**62, size=len(self._variables), dtype=np.int64)

    @cached_property
    def _keys(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The order of the points by a key, and the keys in that order: sums modulo 2**64 of weighted genes."""
        keys = self._points @ self._weights
        order = np.argsort(keys, kind="stable")
        return order, keys[order]

    def index(self, population: Population) -> NDArray[np.int64]:
        """Which row of `listed` each genotype is, -1 for one that is not there: (n, variables) -> (n,)."""
        population = np.atleast_2d(population)
        order, keys = self._keys
        place = np.searchsorted(keys, population @ self._weights).clip(max=len(keys) - 1)
        rows = order[place]
        return np.where((self._points[rows] == population).all(axis=1), rows, -1)

    def sample(self, count: int, rng: np.random.Generator) -> Population:
        """`count` listed points drawn uniformly: (count, variables)."""
        return self._points[rng.integers(len(self._points), size=count)]

    def choices_of(self, genotype: Sequence[int]) -> dict[str, object]:
        """By name of the variable, the choice that `genotype` makes."""
        return {v.name: v.choices[gene] for v, gene in zip(self._variables, self.check(genotype), strict=True)}

    def decode(self, genotype: Sequence[int]) -> Arch:
        raise ValueError(f"points of {self.name} are looked up in a table; no network can be built of them")

    def encode(self, arch: Arch) -> Genotype:
        raise ValueError(f"points of {self.name} are looked up in a table; no network is one of them")


@dataclass(frozen=True)
class Column(GenotypeCost):
    """`values[i]` of the point number i of `space`; infinite for what is not listed."""

    space: ListedSpace | None = None
    values: Floats | None = None

    join: ClassVar[np.ufunc] = np.add

    @classmethod
    def of(cls, space: ListedSpace, values: Floats) -> Column:
        if values.shape != (space.size,):
            raise ValueError(f"a cost of {space.name} needs {space.size} values, got {values.shape}")
        return cls(0.0, (), (), tuple(len(v) for v in space.variables), (), space, values)

    @staticmethod
    def joined(values: Sequence[float]) -> float:
        return float(sum(values))

    def __call__(self, population: NDArray[np.int64]) -> Floats:
        assert self.space is not None and self.values is not None
        rows = self.space.index(population)
        return np.where(rows >= 0, self.values[rows], np.inf)

    def cheapest(self) -> tuple[int, ...]:
        assert self.space is not None and self.values is not None
        return tuple(self.space.listed[int(self.values.argmin())].tolist())

    def most_expensive(self) -> tuple[int, ...]:
        assert self.space is not None and self.values is not None
        return tuple(self.space.listed[int(self.values.argmax())].tolist())


class ListedFeasible(Feasible):
    """The points of a listed space within the limits that `maxima` sets on columns of `costs`, both by name.

    What is not listed, or over a limit, is repaired to the nearest point within them, in genes. Raises `ValueError` for
    unknown costs and where no point is within.
    """

    space: ListedSpace

    def __init__(self, space: ListedSpace, costs: Mapping[str, Floats], maxima: Mapping[str, float]) -> None:
        for name, most in maxima.items():
            if name not in costs:
                raise ValueError(f"{space.name} has no cost {name!r}; it has {', '.join(costs) or 'none'}")
            if isinstance(most, bool) or not isinstance(most, Real) or math.isnan(most):
                raise ValueError(f"the limit on {name} must be a number, got {most!r}")
        self.space = space
        self.limits = tuple(Limit(name, Column.of(space, costs[name]), float(most)) for name, most in maxima.items())
        self.maxima = np.array([limit.limit for limit in self.limits])
        within = np.ones(space.size, dtype=bool)
        for name, most in maxima.items():
            within &= costs[name] <= most
        self.within = space.listed[within]
        if not len(self.within):
            reached = [f"{name} {as_typed(costs[name].min())} to {as_typed(costs[name].max())}" for name in maxima]
            asked = " and ".join(f"{name} <= {as_typed(float(most))}" for name, most in maxima.items())
            raise ValueError(f"no point of {space.name} has {asked}; it lists {', '.join(reached)}")
        self.anchor = self.within[0]

    def mask(self, population: Population) -> NDArray[np.bool_]:
        listed = self.space.index(population) >= 0
        return listed & np.asarray((self.costs(population) <= self.maxima).all(axis=1))

    def repair(self, population: Population, rng: np.random.Generator) -> Population:
        found = population.copy()
        wrong = np.flatnonzero(~self.mask(found))
        near = self.within
        if len(near) > NEAREST_OF:
            near = near[rng.choice(len(near), NEAREST_OF, replace=False)]
        for start in range(0, len(wrong), 256):
            rows = wrong[start : start + 256]
            apart = (found[rows, None] != near[None]).sum(axis=2) + rng.random(
                (len(rows), len(near))
            )  # ties: by chance
            found[rows] = near[apart.argmin(axis=1)]
        return found

    def sample(self, count: int, rng: np.random.Generator) -> Population:
        return self.within[rng.integers(len(self.within), size=count)]

    def enumerate(self) -> Population:
        return self.within
