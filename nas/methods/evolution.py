"""Evolution on a predictor, for many budgets at once (FBNetV3, arXiv 2006.02049, stage 2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_spaces.pricing.additive import Floats
from search_spaces.space import Population, SearchSpace

if TYPE_CHECKING:
    from search_spaces.pricing.budgets import Feasible

Score = Callable[[Population], Floats]


@dataclass(frozen=True)
class Evolution:
    """An adaptive genetic algorithm whose fitness is a function of whole populations.

    `population_size`: survivors per budget; `children` per budget and generation; no generation begins and none grows
    beyond `evaluations` genotypes scored in all, but the first is scored whole. It ends earlier when no budget's best
    score gained `tolerance` in `patience` generations. A child takes each gene from its second parent with
    probability 1/2 where its first is below the mean, falling linearly to 0 at the best (adaptive crossover); then
    each gene mutates with probability `mutations` / genes; then it is repaired to its budget. Departure: survivors of
    one budget breed with those of all others, so a front costs little more than its hardest point.
    """

    population_size: int = 96
    children: int = 768
    evaluations: int = 50_000
    mutations: float = 1.0
    patience: int = 10
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("population_size", "children", "evaluations", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"evolution: {name} must be >= 1, got {getattr(self, name)}")
        for name in ("mutations", "tolerance"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"evolution: {name} must be >= 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Front:
    """The outcome per budget: `genotypes[b]` (k, genes) best first, distinct, and their `scores[b]` (k,).

    `evaluations`: how many genotypes were scored.
    """

    genotypes: tuple[Population, ...]
    scores: tuple[Floats, ...]
    evaluations: int


@dataclass(frozen=True)
class Landscape:
    """What an evolution climbs: the `score` of populations within the limits of `feasible`.

    `canonical`: one genotype for all that describe the same candidate; they score alike and would crowd out the others.
    """

    feasible: Feasible
    score: Score
    canonical: Callable[[Population], Population] = lambda population: population


def evolve(
    landscape: Landscape,
    start: Population,
    rng: np.random.Generator,
    settings: Evolution,
    maxima: Floats | None = None,
) -> Front:
    """The genotypes of highest score under each row of `maxima` (budgets, limits); None: the landscape's own limits.

    `start`: (n, genes) genotypes to begin with, of any cost; random ones join them. Raises `ValueError` where one of
    `maxima` is out of reach.
    """
    from search_spaces.pricing.budgets import repair

    feasible, score, canonical = landscape.feasible, landscape.score, landscape.canonical
    space = feasible.space
    maxima = feasible.maxima[None] if maxima is None else np.atleast_2d(np.asarray(maxima, dtype=np.float64))
    if maxima.shape[1] != len(feasible.limits):
        raise ValueError(f"each budget needs {len(feasible.limits)} limits, got {maxima.shape[1]}")
    anchors = np.stack([_anchor(feasible, row) for row in maxima])
    budgets, keep = len(maxima), settings.population_size
    owner = np.repeat(np.arange(budgets), keep)
    first = np.concatenate([space.sample(budgets * keep, rng), np.asarray(start, dtype=np.int64)])
    owner = np.concatenate([owner, rng.integers(budgets, size=len(start))])
    weights = rng.integers(1, 2**63, size=len(space.variables), dtype=np.int64)
    pool = repair(first, feasible, maxima[owner], rng, anchors[owner])
    pool = canonical(np.concatenate([pool, anchors, np.asarray(start, dtype=np.int64)]))
    pool = pool[np.unique(pool @ weights, return_index=True)[1]]
    scores, costs = score(pool), feasible.costs(pool)
    used, idle = len(pool), 0
    best = np.full(budgets, -np.inf)
    elite, valid = _elite(scores, costs, maxima, keep)
    while used < settings.evaluations and idle < settings.patience:
        count = min(settings.children, -(-(settings.evaluations - used) // budgets))
        owner = np.repeat(np.arange(budgets), count)
        children = _breed(space, _Parents(pool, scores, elite, valid), owner, rng, settings.mutations)
        children = canonical(repair(children, feasible, maxima[owner], rng, anchors[owner]))
        keys = children @ weights
        fresh = np.unique(keys, return_index=True)[1]
        fresh = fresh[~np.isin(keys[fresh], pool @ weights)][: settings.evaluations - used]
        if len(fresh):
            children = children[fresh]
            pool = np.concatenate([pool, children])
            scores = np.concatenate([scores, score(children)])
            costs = np.concatenate([costs, feasible.costs(children)])
            used += len(children)
            elite, valid = _elite(scores, costs, maxima, keep)
            survivors = np.unique(elite[np.arange(elite.shape[1]) < valid[:, None]])
            pool, scores, costs = pool[survivors], scores[survivors], costs[survivors]
            elite = np.searchsorted(survivors, elite).clip(max=len(survivors) - 1)
        leaders = scores[elite[:, 0]]
        idle = 0 if (leaders > best + settings.tolerance).any() else idle + 1
        best = np.maximum(best, leaders)
    found = [elite[b, : valid[b]] for b in range(budgets)]
    return Front(tuple(pool[rows] for rows in found), tuple(scores[rows] for rows in found), used)


def _anchor(feasible: Feasible, maxima: Floats) -> NDArray[np.int64]:
    from search_spaces.pricing.budgets import Limit, find_anchor

    limits = [Limit(f.name, f.cost, float(m)) for f, m in zip(feasible.limits, maxima, strict=True)]
    return find_anchor(limits, len(feasible.space.variables))


def _elite(scores: Floats, costs: Floats, maxima: Floats, keep: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (budgets, at most keep) of the best rows within each budget, best first, and how many of them count."""
    within = (costs[None] <= maxima[:, None]).all(axis=2)
    ranked = np.where(within, scores, -np.inf)
    keep = min(keep, len(scores))
    top = np.argpartition(-ranked, keep - 1, axis=1)[:, :keep]
    order = np.argsort(-np.take_along_axis(ranked, top, axis=1), axis=1, kind="stable")
    valid = np.minimum(within.sum(axis=1), keep)
    return np.take_along_axis(top, order, axis=1), valid


@dataclass(frozen=True)
class _Parents:
    """Genotypes `pool` (n, genes) and `scores` (n,); the best rows within budget b are `elite[b, :valid[b]]`."""

    pool: Population
    scores: Floats
    elite: NDArray[np.int64]
    valid: NDArray[np.int64]


def _breed(
    space: SearchSpace, parents: _Parents, owner: NDArray[np.int64], rng: np.random.Generator, mutations: float
) -> Population:
    """One child per entry of `owner`, the budget it is for."""
    pool, scores, elite, valid = parents.pool, parents.scores, parents.elite, parents.valid
    mothers = elite[owner, (rng.random(len(owner)) ** 2 * valid[owner]).astype(int)]
    other = np.where(rng.random(len(owner)) < 0.8, owner, rng.integers(len(elite), size=len(owner)))
    fathers = elite[other, (rng.random(len(owner)) * valid[other]).astype(int)]
    counted = np.arange(elite.shape[1]) < valid[:, None]
    mean = np.where(counted, scores[elite], 0).sum(axis=1) / valid
    top = scores[elite[:, 0]]
    above = (top[owner] - scores[mothers]) / np.maximum(top - mean, 1e-12)[owner]
    crossing = 0.5 * np.clip(above, 0, 1)
    genes = pool.shape[1]
    children = np.where(rng.random((len(owner), genes)) < crossing[:, None], pool[fathers], pool[mothers])
    searched = max(int((space.cardinalities > 1).sum()), 1)
    return space.mutate(children, rng, min(mutations / searched, 1.0))
