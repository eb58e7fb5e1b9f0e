"""References trained as the found network was: recipe, seed, images, epochs; what that costs is said before."""

from __future__ import annotations

import dataclasses

from nas.methods.candidates.training_job import search_recipe
from nas.networks.network import FlatNetwork, Network
from nas.runs import resuming
from nas.runs.files import read_json, write_json
from nas.runs.run import Run
from nas.search.references.against import Against
from nas.search.references.reference import Reference
from nas.terminal.progress import format_seconds, log, phase
from nas.train import training
from nas.train.several.alone import alone
from nas.train.start.teacher import distillation_of
from search_spaces.recipe import Recipe

CHEAP = 0.25  # of the time that search and training took: what the trainings of references may add by themselves
PLAN = "references_trained.json"  # in a run's checkpoints: whether that was cheap, decided once


def trained_alike(run: Run, found: Against, references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """`references`, trained as `found` was where that is asked for or cheap.

    Each has a checkpoint of its own, so that an interrupted run goes on where it was.
    """
    train = found.setup.references.train
    if not references or train is False:
        return references
    seconds = expected_seconds(found, references)
    if train is None and not _is_cheap(run, found, seconds):
        return references
    much = "" if seconds is None else f": about {format_seconds(seconds)}, by their multiply-adds"
    count = f"{len(references)} reference{'s' if len(references) > 1 else ''}"
    log(f"training {count} as the found network was{much}")
    return tuple(dataclasses.replace(one, figures=trained(run, found, one)[1]) for one in references)


def expected_seconds(found: Against, references: tuple[Reference, ...]) -> float | None:
    """What the trainings will take, as the found network's took for its multiply-adds; None where it was not trained
    for its weights."""
    if not found.train_seconds:
        return None
    return found.train_seconds * sum(one.arch.macs for one in references) / found.arch.macs


def _is_cheap(run: Run, found: Against, seconds: float | None) -> bool:
    """Whether `seconds` are at most the share `CHEAP` of what the run took so far; as decided before, if it was."""
    path = run.checkpoints / PLAN
    if path.exists():
        return bool(read_json(path, "plan of trainings").get("cheap"))
    took = found.seconds + found.train_seconds
    cheap = seconds is not None and seconds <= CHEAP * took
    if not cheap:
        why = "the found network keeps the weights that it inherited"
        if seconds is not None:
            why = f"their training would take about {format_seconds(seconds)}, the run so far {format_seconds(took)}"
        log(f"references are not trained: {why}; references.train=true does, also with resume=")
    write_json(path, {"cheap": cheap})
    return cheap


def recipe_of(found: Against) -> Recipe:
    """The recipe of the found network, for as many epochs; the recipe's own where the found one was not trained."""
    setup = found.setup
    return search_recipe(found.recipe, setup.training.epochs if setup.final_epochs else None, "train.epochs")


def trained(run: Run, found: Against, reference: Reference) -> tuple[Network | FlatNetwork, dict[str, float]]:
    """The trained network of `reference` and its figures: trained now, or what is left of it."""
    setup, recipe, data = found.setup, recipe_of(found), found.data
    if reference.arch.resolution != data.resolution:
        data = setup.problem.source.at(reference.arch.resolution)
    network = training.build_network(reference.arch, recipe, seed=setup.seed)
    checkpoint = run.checkpoints / f"reference-{reference.arch.id}.pt"
    steps, done = training.steps_per_epoch(data, recipe), training.finished_epochs(checkpoint)
    with phase(f"training {reference.title}", recipe.epochs * steps, "step", completed=done * steps) as advance:
        figures = training.train(
            network,
            data,
            recipe,
            seed=setup.seed,
            accelerator=alone(setup.compute.accelerator, setup.compute.precision),
            options=training.Options(
                checkpoint,
                may_change=resuming.MAY_CHANGE,
                on_step=advance,
                keeping=setup.keeping,
                distillation=distillation_of(setup.teacher, data),
            ),
        )
    return network, figures
