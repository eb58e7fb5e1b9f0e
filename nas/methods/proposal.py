"""Search methods that propose candidates one batch at a time: ask for genotypes, tell how good they were."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from nas.methods.evolution import Front
from nas.runs.seeding import numpy_generator
from search_spaces.pricing.additive import Floats
from search_spaces.space import Population
from search_spaces.wrappers.joint import JointSpace

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible

ATTEMPTS = 40  # draws of new genotypes before a space too large to list counts as exhausted


class Proposal(ABC):
    """One search in progress. Scores are higher-is-better; NaN says that a candidate failed.

    `ask` gives distinct candidates within the budgets that were never asked or told before, fewer than wanted only
    where no more are found. A candidate that several genotypes describe (genes of blocks that a depth leaves out,
    widths that round alike, momentum under adamw) counts once. What it draws is a function of the seed, of what was
    told and of what is `pending`: asked and not told. So a search is continued by telling a new object what the old one
    was told, in that order, and what to `expect` besides.

    A proposal that predicts scores says so: with `has_finalists`, `finalists` ranks candidates that were not trained;
    with `has_front`, `front` gives the best ones under other budgets.
    """

    has_finalists: ClassVar[bool] = False
    has_front: ClassVar[bool] = False

    def __init__(self, feasible: Feasible, seed: int) -> None:
        self.feasible, self.space, self.seed = feasible, feasible.space, seed
        self.told: Population = np.zeros((0, len(self.space.variables)), dtype=np.int64)
        self.pending: Population = self.told
        self.scores: Floats = np.zeros(0)
        self._known: set[bytes] = set()  # genotypes
        self._candidates: set[str] = set()  # what they describe
        self._all = feasible.enumerate()
        self._open = np.ones(0 if self._all is None else len(self._all), dtype=bool)  # which of them were not asked yet
        self.first: Population = self.told

    def begin_with(self, population: Population) -> None:
        """`population` (n, genes), within the budgets, is asked before anything else, in its order."""
        self.first = np.ascontiguousarray(population, dtype=np.int64).reshape(-1, self.told.shape[1])

    def ask(self, count: int) -> Population:
        """Up to `count` new genotypes: (n, genes)."""
        if count < 1:
            raise ValueError(f"count of candidates to ask must be >= 1, got {count}")
        rng = numpy_generator(self.seed, "ask", len(self._known))
        chosen = self._new(self.first, count)
        if len(chosen) < count:
            more = self._new(self._propose(count, rng), count - len(chosen), chosen)
            chosen = np.concatenate([chosen, more])
        if len(chosen) < count:
            chosen = np.concatenate([chosen, self._fill(count - len(chosen), chosen, rng)])
        self.expect(chosen)
        return chosen

    def expect(self, population: Population) -> None:
        """`population` (n, genes) was asked, here or by an earlier piece of the search, and is not told yet."""
        self.pending = np.concatenate([self.pending, population])
        self._remember(population)

    def tell(self, population: Population, scores: Sequence[float] | Floats) -> None:
        """Report the scores of candidates: (n, genes), (n,). Raises `ValueError` for genotypes that are none here."""
        population = np.ascontiguousarray(np.atleast_2d(population), dtype=np.int64)
        values = np.asarray(scores, dtype=np.float64)
        if len(population) != len(values):
            raise ValueError(f"{len(population)} candidates were told with {len(values)} scores")
        for row in population:
            self.space.check(row)
        self.told = np.concatenate([self.told, population])
        self.scores = np.concatenate([self.scores, values])
        self._remember(population)
        told = {row.tobytes() for row in population}
        self.pending = self.pending[[row.tobytes() not in told for row in self.pending]]

    @abstractmethod
    def _propose(self, count: int, rng: np.random.Generator) -> Population:
        """Genotypes within the budgets, best first; those known already are dropped by the caller."""

    def finalists(self, count: int) -> Population:
        """Up to `count` candidates of highest predicted score within the budgets that were not trained yet."""
        raise NotImplementedError(f"{type(self).__name__} has no finalists")

    def front(self, maxima: Floats) -> Front:
        """The best candidates, trained or not, by predicted score, under each row of `maxima` (budgets, limits)."""
        raise NotImplementedError(f"{type(self).__name__} has no front")

    def best(self, count: int = 1) -> Population:
        """The `count` best genotypes told so far, best first, of equal ones the cheapest; failed ones are left out."""
        return self.told[self.feasible.best_first(self.told, self.scores)][:count]

    def unknown(self) -> Population | None:
        """All genotypes within the budgets not asked or told yet; None for a space too large to list."""
        return None if self._all is None else self._all[self._open]

    def _unseen(self, population: Population) -> Population:
        """The rows that were not asked or told as they are, without repetition: quick, for pools."""
        seen, keep = set(self._known), []
        for i, row in enumerate(np.ascontiguousarray(population, dtype=np.int64)):
            key = row.tobytes()
            if key not in seen:
                seen.add(key)
                keep.append(i)
        return np.asarray(population, dtype=np.int64)[keep].reshape(len(keep), self.told.shape[1])

    def _new(self, population: Population, count: int, besides: Population | None = None) -> Population:
        """The first `count` rows whose candidates are neither known nor in `besides` nor repeated."""
        seen = self._candidates | {self._candidate(row) for row in ([] if besides is None else besides)}
        rows = np.ascontiguousarray(population, dtype=np.int64)
        keep: list[int] = []
        for i, row in enumerate(rows):  # to the first `count` only: a list may be long
            if len(keep) == count:
                break
            if row.tobytes() in self._known or (candidate := self._candidate(row)) in seen:
                continue
            seen.add(candidate)
            keep.append(i)
        return rows[keep].reshape(len(keep), self.told.shape[1])

    def _remember(self, population: Population) -> None:
        keys = {row.tobytes() for row in np.ascontiguousarray(population)}
        self._known |= keys
        self._open[[self._places[key] for key in keys if key in self._places]] = False
        self._candidates |= {self._candidate(row) for row in population}

    @cached_property
    def _places(self) -> dict[bytes, int]:
        """Where each genotype stands in the list of all."""
        return {} if self._all is None else {row.tobytes(): i for i, row in enumerate(self._all)}

    def _candidate(self, row: np.ndarray) -> str:
        """What genotype `row` describes; where the space cannot say, the genotype itself."""
        return self.space.training_id(row.tolist()) if isinstance(self.space, JointSpace) else row.tobytes().hex()

    def _fill(self, count: int, besides: Population, rng: np.random.Generator) -> Population:
        """`count` random new genotypes, where a method ran out of its own."""
        left = self.unknown()
        if left is not None:
            return self._new(left[rng.permutation(len(left))], count, besides)
        found = besides
        for attempt in range(ATTEMPTS):
            if attempt < ATTEMPTS // 4:
                drawn = self.feasible.sample(4 * count + 16, rng)
            else:  # few networks are within the budgets: look beside those known to be
                known = np.concatenate([self.feasible.anchor[None], self.told, found])
                near = known[rng.integers(len(known), size=64 * (attempt + 1))]
                near = self.space.mutate(near, rng, 1.5 / max(near.shape[1], 1))
                drawn = near[self.feasible.mask(near)]
            found = np.concatenate([found, self._new(drawn, count + len(besides) - len(found), found)])
            if len(found) == count + len(besides):
                break
        return found[len(besides) :]
