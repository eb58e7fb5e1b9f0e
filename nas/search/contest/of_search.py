"""The contest of a search: between derivation and final training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from nas.derive.within_budget import Derived
from nas.methods.base import is_supernet
from nas.methods.candidates.executors.base import at_a_time
from nas.methods.candidates.executors.watched import Watched
from nas.methods.candidates.scorers.elastic import weights_of
from nas.methods.candidates.training_job import search_recipe
from nas.methods.candidates.trials_file import epoch_seconds
from nas.networks.network import FlatNetwork, Network
from nas.runs.run import Run
from nas.search.contest.entrants import Entrant
from nas.search.contest.holding import Held, Terms, hold
from nas.search.contest.record import outcome_of
from nas.search.contest.standings import sentence
from nas.search.former import give_way_to
from nas.search.found import Found
from nas.search.references.reference import Reference
from nas.search.setup import SearchSetup
from nas.terminal.progress import log
from search_spaces.space import Genotype


def compete(
    run: Run, setup: SearchSetup, found: Found, references: Sequence[Reference] = ()
) -> tuple[Found, Held | None]:
    """`found` with its networks in the order of the contest, and what came of it; None where none was held.

    `references` take part where one may be handed over, unless the weights that found networks begin with have seen
    the images that judge. Raises `ValueError` as `hold` does.
    """
    if not setup.contestants:
        return found, None
    entrants = _found(setup, found)
    others = _others(setup, found, references, {entrant.key for entrant in entrants})
    if len(entrants) + len(others) < 2:
        log("no contest: no second network that differs from the first by enough proved to be within the budget")
        return found, None
    plan = setup.plan(len(entrants), len(others))
    seconds = pace(run.path, setup)
    log(plan.sentence(None if seconds is None else seconds / min(at_a_time(setup.executor), plan.networks)))
    held = hold(run, _terms(setup, found.score_is), plan, [*entrants, *others])
    best = held.standings.best  # held again, with others in it, it may leave another network than was trained
    give_way_to(run.path, run.metrics, best.arch, best.recipe)
    log(f"contest: {sentence(held.standings.to_dict())}")
    return in_order(found, [entrant.genotype for entrant in held.standings.found if entrant.genotype]), held


def pace(folder: Path, setup: SearchSetup) -> float | None:
    """Seconds of an epoch of a contest, by those that candidates of the search in `folder` took: they may have trained
    on a part of the images. None where it trained none."""
    seconds, few = epoch_seconds(folder), setup.candidates.images
    if seconds is None or few is None:
        return seconds
    return seconds * len(setup.problem.data.train) * (1 - setup.candidates.validation_fraction) / few


def in_order(found: Found, genotypes: Sequence[Genotype]) -> Found:
    """`found` with the networks of `genotypes` in front, in that order."""
    derived = reordered(found.derived, genotypes)
    score = found.scores.get(derived.first.genotype)
    known = found.validation_top1_percent
    return dataclasses.replace(found, derived=derived, validation_top1_percent=known if known is None else score)


def reordered(derived: Derived, genotypes: Sequence[Genotype]) -> Derived:
    """`derived` with the networks of `genotypes` in front, in that order, the others behind as they were."""
    places = {tuple(genotype): place for place, genotype in enumerate(genotypes)}
    networks = sorted(derived.networks, key=lambda network: places.get(network.genotype, len(places)))
    return Derived(tuple(networks), derived.rounds)


def as_decided(folder: Path, derived: Derived) -> Derived:
    """`derived` in the order of the contest that the run in `folder` has held, if any."""
    outcome = outcome_of(folder)
    if outcome is None:
        return derived
    return reordered(derived, [tuple(network["genotype"]) for network in outcome["networks"] if network["genotype"]])


def _found(setup: SearchSetup, found: Found) -> list[Entrant]:
    """The networks of the search that hold the budgets, most promising first. `found-1` is the first by score."""
    space = setup.problem.space
    networks = found.derived.networks[: setup.contestants]
    return [
        Entrant(
            name=f"found-{number}",
            arch=space.decode(network.genotype),
            recipe=search_recipe(space.recipe(network.genotype), setup.training.epochs, "train.epochs"),
            genotype=network.genotype,
            score=found.scores.get(network.genotype),
            inherit=None if found.inherit is None else _weights(found.inherit, network.genotype),
        )
        for number, network in enumerate(networks, start=1)
    ]


def _weights(inherit: Callable[[Genotype], Network | FlatNetwork], genotype: Genotype) -> Callable[[], bytes]:
    return lambda: weights_of(inherit(genotype))


def _others(setup: SearchSetup, found: Found, references: Sequence[Reference], taken: set[str]) -> list[Entrant]:
    """The references that take part, each once: none is a found network. They train as the first of those does."""
    if setup.best_of != "all" or not references:
        return []
    if found.inherit is not None and is_supernet(setup.method):
        log(
            "no reference takes part in the contest: found networks begin with weights of a supernet that has seen the "
            "images that judge; train.inherit=false lets them in"
        )
        return []
    recipe = search_recipe(
        setup.problem.space.recipe(found.derived.first.genotype), setup.training.epochs, "train.epochs"
    )
    others: dict[str, Entrant] = {}
    for reference in references:  # of one network under two names the first
        entrant = Entrant(reference.title, reference.arch, recipe)
        others.setdefault(entrant.key, entrant)
    return [entrant for key, entrant in others.items() if key not in taken]


def _terms(setup: SearchSetup, score_is: str) -> Terms:
    return Terms(
        setup.problem.source,
        setup.problem.data.fingerprint,
        setup.candidates.validation_fraction,
        setup.seed,
        setup.compute,
        Watched(setup.executor, setup.problem.images),
        setup.candidates.attempts,
        score_is,
        setup.teacher,
    )
