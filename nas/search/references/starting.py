"""Where a search of candidates begins: at the references' points of its space, or the points most like them."""

from __future__ import annotations

import numpy as np

from nas.search.pricing.prices import Prices
from nas.search.references.choosing import Width, widths_of
from nas.search.references.first_guess import FirstGuess
from nas.search.references.request import Family
from nas.search.setup import SearchSetup
from nas.terminal.progress import log
from search_spaces.pricing.budgets import Feasible
from search_spaces.pricing.nearest import NearestPoints
from search_spaces.space import Population
from search_spaces.wrappers.joint import JointSpace

STEP = 3  # widths of a ladder between two tries, about a sixth of the channels
TRIES = 12  # narrower and narrower, until one is within the budgets


def starting_points(setup: SearchSetup, prices: Prices, feasible: Feasible) -> Population:
    """Genotypes within the budgets, one of each reference that has one, distinct: (n, genes).

    Each is the nearest to the widest network of its family that the table's estimates let in. They follow from space,
    budgets and table alone, so that every process of a search begins with the same ones.
    """
    space = feasible.space
    assert isinstance(space, JointSpace)
    found = np.zeros((0, len(space.variables)), dtype=np.int64)
    if not setup.references.start or not space.architectures.variables:
        return found
    guess = FirstGuess.of(prices.table) if prices.table is not None else None
    ladders = [_likely(family, prices, guess) for family in setup.references.families]
    left = [ladder for ladder in ladders if ladder]
    recipe = np.array(_recipe_genes(space), dtype=np.int64)
    nearest = NearestPoints(space.architectures)
    for _ in range(TRIES):
        if not left:
            break
        points = nearest([ladder[-1].arch for ladder in left])
        genotypes = np.hstack([points, np.tile(recipe, (len(points), 1))])
        within = feasible.mask(genotypes)
        found = np.concatenate([found, genotypes[within]])
        left = [ladder[:-STEP] for ladder, fits in zip(left, within, strict=True) if not fits and len(ladder) > STEP]
    _, first = np.unique(found, axis=0, return_index=True)
    found = found[np.sort(first)]
    if len(found):
        log(f"the search begins with {len(found)} candidates that are references, or the points most like them")
    return found


def _likely(family: Family, prices: Prices, guess: FirstGuess | None) -> list[Width]:
    """The widths of `family` that may be within the budgets, narrow to wide; up to the published one without any."""
    widths, budget = widths_of(family, prices.budgets), prices.budgets.latency
    if budget is not None and guess is not None:
        quick = [width for width in widths if guess(width.arch) <= budget.limit_ms]
        return quick or widths[:1]
    return [w for w in widths if prices.budgets.others or w.multiplier is None or w.multiplier <= 1]


def _recipe_genes(space: JointSpace) -> list[int]:
    """The base recipe, or where the space does not have it the middle of every list."""
    recipes = space.recipes
    try:
        return list(recipes.encode(recipes.base))
    except ValueError:
        return [len(variable) // 2 for variable in recipes.variables]
