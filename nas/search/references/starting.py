"""Where a search of candidates begins: at the references' points of its space, or the points most like them, and at
networks of it that earlier searches found."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np

from nas.methods.candidates.log import is_kept
from nas.methods.candidates.settings import CandidateSettings
from nas.methods.candidates.shared_study import known_identity
from nas.runs.files import write_json
from nas.runs.run import Run
from nas.runs.stored import Schema, read_record
from nas.search.pricing.prices import Prices
from nas.search.references.choosing import Width, widths_of
from nas.search.references.first_guess import FirstGuess
from nas.search.references.request import Family
from nas.search.setup import SearchSetup
from nas.terminal.progress import log
from search_spaces.arch import Arch
from search_spaces.plain_data import identity
from search_spaces.pricing.budgets import Feasible
from search_spaces.pricing.nearest import NearestPoints
from search_spaces.space import Population
from search_spaces.wrappers.joint import JointSpace

NAME = "starting.json"
STORED: Schema = {"genotypes": list[list[int]], "digest": str}
STEP = 3  # widths of a ladder between two tries, about a sixth of the channels
ABOVE, BELOW = 3, 6  # widths of what was found before that are tried, beyond the budget and within it
TRIES = 12  # narrower and narrower, until one is within the budgets


class Since(IntEnum):
    """What searches begin with, by the first version of the program that did."""

    FIRST = 1  # points nearest to networks that may be beyond the budget themselves, found by descents alone, which
    # passed over networks of other widths that are points; no field of a base recipe of which one is not in its list
    WITHIN = 2  # points nearest to the widest networks within the budget; of references alone
    FOUND = 3  # and networks that earlier searches found
    LIKE = 4  # references with points of their own, too, as points like networks a little wider than the budget lets in


BEFORE = (Since.FOUND, Since.WITHIN, Since.FIRST)  # which a study may have been begun with


def starting_points(run: Run, setup: SearchSetup, prices: Prices, feasible: Feasible) -> Population:
    """Genotypes within the budgets, one of each reference that has one, and of each network that earlier searches found
    in spaces that have them, distinct: (n, genes).

    Each is the nearest to the widest network of its family that the table's estimates let in. They follow from space,
    budgets and table alone, so that every process of a search begins with the same ones; in a study that was begun with
    those of before, with these. They are kept with the run, which goes on from those that it began with. Raises
    `ValueError` where what is kept is damaged.
    """
    space, path = feasible.space, run.path / NAME
    assert isinstance(space, JointSpace)
    if not setup.references.start or not space.architectures.variables:
        return np.zeros((0, len(space.variables)), dtype=np.int64)
    if path.exists():
        found = _kept(path, space)
    elif is_kept(run):  # begun before they were kept
        found = _found(setup, prices, feasible, Since.FIRST)
    else:
        found, of_study = _found(setup, prices, feasible), _of_study(setup.candidates)
        if of_study not in (None, identity.digest(found.tolist())):
            before = (_found(setup, prices, feasible, since) for since in BEFORE)
            found = next((points for points in before if identity.digest(points.tolist()) == of_study), found)
        genotypes = found.tolist()
        write_json(path, {"genotypes": genotypes, "digest": identity.digest(genotypes)})
    if len(found):
        log(
            f"the search begins with {len(found)} candidates: references and networks found before, or points like them"
        )
    return found


def _of_study(settings: CandidateSettings) -> str | None:
    """The digest of those that the study named by `settings` was begun with; None where none is, or it has none."""
    if settings.storage is None or settings.study is None:
        return None
    return known_identity(settings.storage, settings.study).get("first")


def _kept(path: Path, space: JointSpace) -> Population:
    stored = read_record(path, "starting points", STORED)
    genotypes = stored["genotypes"]
    if stored["digest"] != identity.digest(genotypes):
        raise ValueError(f"{path} was changed since it was written: begin another run")
    return np.array(genotypes, dtype=np.int64).reshape(-1, len(space.variables))


def _found(setup: SearchSetup, prices: Prices, feasible: Feasible, since: Since = Since.LIKE) -> Population:
    """The starting points, as searches `since` then begin."""
    space = feasible.space
    assert isinstance(space, JointSpace)
    guess = FirstGuess.of(prices.table) if prices.table is not None else None
    families, nearest, known = setup.references.families, NearestPoints(space.architectures), None
    ladders = [_likely(family, prices, guess) for family in families]
    if since > Since.FIRST:
        ladders = [_estimated_within(ladder, prices) for ladder in ladders]
        known = [_points(family, nearest) for family in families]
    recipe = np.array(_recipe_genes(space, since), dtype=np.int64)

    def with_recipe(points: Population) -> Population:
        return np.hstack([points, np.tile(recipe, (len(points), 1))])

    def like(family: Family, ladder: list[Width], own: Population) -> Population:
        """The points like `family`'s networks within the budgets, wide to narrow."""
        points = with_recipe(_like(family, ladder[-1], nearest, own))
        return points[feasible.mask(points)]

    found = np.zeros((0, len(space.variables)), dtype=np.int64)
    left = {number: ladder for number, ladder in enumerate(ladders) if ladder}
    if since >= Since.LIKE and known:
        for number in [number for number in left if len(known[number])]:
            points = like(families[number], left[number], known[number])
            own_kinds = _kinds(families[number].arch)
            alike = np.array([_kinds(space.decode(genotype)) == own_kinds for genotype in points], dtype=bool)
            if len(points):  # the widest, and the widest of the very layers
                found = np.concatenate([found, points[alike][:1], points[:1]])
                del left[number]
    for _ in range(TRIES):
        if not left:
            break
        points = nearest([ladder[-1].arch for ladder in left.values()], known and [known[i] for i in left])
        genotypes = with_recipe(points)
        within = feasible.mask(genotypes)
        found = np.concatenate([found, genotypes[within]])
        beyond = [number for number, fits in zip(left, within, strict=True) if not fits]
        left = {number: left[number][:-STEP] for number in beyond if len(left[number]) > STEP}
    if since >= Since.FOUND:
        for family in setup.references.found:
            ladder = _estimated_within(_likely(family, prices, guess), prices)
            if ladder and len(own := _points(family, nearest)):
                found = np.concatenate([found, like(family, ladder, own)[:1]])
    _, first = np.unique(found, axis=0, return_index=True)
    return found[np.sort(first)]


def _like(family: Family, widest: Width, nearest: NearestPoints, own: Population) -> Population:
    """Points like the networks of `family` about as wide as `widest`, wide to narrow; `own`: those that it has.

    Some are like a network wider than the budget lets in, and within it themselves: channels are of lists.
    """
    archs = [arch for _, arch in family.ladder]
    end = next((i for i, arch in enumerate(archs) if arch.macs > widest.arch.macs), len(archs))
    return nearest.descended(archs[max(end - BELOW, 0) : end + ABOVE][::-1], own)


def _kinds(arch: Arch) -> list[str]:
    return [layer.kind for layer in arch.layers]


def _points(family: Family, nearest: NearestPoints) -> Population:
    """The genotypes of the networks of `family` that are points of the space, the published one too: (n, genes)."""
    archs = [family.arch, *(arch for _, arch in family.ladder)]
    known = sorted({genes for arch in archs if (genes := nearest.encoded(arch)) is not None})
    return np.array(known, dtype=np.int64).reshape(len(known), len(nearest.space.variables))


def _estimated_within(ladder: list[Width], prices: Prices) -> list[Width]:
    """`ladder` up to its widest network that the table prices within the budget; whole where it prices none of it."""
    if prices.table is None or prices.budget is None:
        return ladder
    for end in range(len(ladder), 0, -1):
        try:
            if prices.table.estimate_ms(ladder[end - 1].arch) <= prices.budget.limit_ms:
                return ladder[:end]
        except ValueError:  # a layer that it does not know
            return ladder
    return ladder[:1]


def _likely(family: Family, prices: Prices, guess: FirstGuess | None) -> list[Width]:
    """The widths of `family` that may be within the budgets, narrow to wide; up to the published one without any."""
    widths, budget = widths_of(family, prices.budgets), prices.budgets.latency
    if budget is not None and guess is not None:
        quick = [width for width in widths if guess(width.arch) <= budget.limit_ms]
        return quick or widths[:1]
    return [w for w in widths if prices.budgets.others or w.multiplier is None or w.multiplier <= 1]


def _recipe_genes(space: JointSpace, since: Since) -> list[int]:
    """The base recipe; the middle of its list for a field whose value is not there, for all fields at the first."""
    recipes = space.recipes
    own = [(variable.choices, getattr(recipes.base, variable.name)) for variable in recipes.variables]
    if since == Since.FIRST and any(value not in choices for choices, value in own):
        return [len(choices) // 2 for choices, _ in own]
    return [choices.index(value) if value in choices else len(choices) // 2 for choices, value in own]
