"""One search from its setup to a trained network."""

from __future__ import annotations

import dataclasses
from typing import cast

from nas.data import ImageData
from nas.derive.handover import write_archs
from nas.methods.base import CandidateMethod, is_supernet
from nas.methods.candidates.training_job import search_recipe
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.networks.network import FlatNetwork, Network
from nas.networks.trained_data import keep_class_names
from nas.report.run_page import write_report
from nas.runs.keeping.own_code import code_behind, note_code
from nas.runs.resuming import FIXES, go_on
from nas.runs.run import Run
from nas.search.contest.of_search import compete
from nas.search.diagnosis.marginal import write_levers
from nas.search.forecast.phases import Told, forecast
from nas.search.former import forget_receipt, give_way_to
from nas.search.one_by_one import search_one_by_one
from nas.search.pricing.prices import intention, price
from nas.search.references.handing_over import FOUND, write_handed
from nas.search.references.pricing import price_references
from nas.search.references.reference import Reference
from nas.search.references.training_alike import trained, trained_alike
from nas.search.result import SearchOutcome, show
from nas.search.setup import SearchSetup
from nas.search.several import together
from nas.search.supernet import search_supernet
from nas.terminal.progress import log, phase
from nas.train import averaging, training
from nas.train.answers.of_run import write_answers
from nas.train.options import Begin
from nas.train.several.alone import alone
from search_spaces.recipe import Recipe
from search_spaces.zoo import FAMILIES

CURES = (*(key.partition(".")[2] for key in FIXES), "epochs")  # of a training that goes on


def run_search(setup: SearchSetup) -> SearchOutcome:
    """Measure, search, derive, train and report; whatever is done in the run to be resumed is not done again.

    Raises `ValueError` and `OSError` for bad input. Interrupted, it leaves a run that `resume` continues.
    """
    paths, space = setup.paths, setup.problem.space
    with Run.open(paths.run_dir, paths.resume, f"{space.name}-{setup.method_name}", dict(setup.stored)) as run:
        run.metrics.track(setup.trackers, setup.stored)
        keep_class_names(run.checkpoints, setup.problem.data)
        note_code(run.path, code_behind(setup.method, space.architectures.table_entries()))
        prices = price(run.path, setup)
        log(intention(setup, prices))
        if setup.teacher is not None:
            supernet = is_supernet(setup.method) or setup.is_elastic
            log(f"networks {setup.teacher.sentence}" + ("; the supernet learns from labels alone" if supernet else ""))
            if setup.teacher.unsaid:
                log(setup.teacher.unsaid)
        references = price_references(run.path, setup, prices)
        told = Told(None if run.resumed else forecast(setup, prices))
        if is_supernet(setup.method):
            found = search_supernet(run, setup, setup.method, prices, told)
        else:
            found = search_one_by_one(run, setup, cast(CandidateMethod, setup.method), prices)
        found, contest = compete(run, setup, found, references)
        genotype = found.derived.first.genotype
        arch, recipe = space.decode(genotype), space.recipe(genotype)
        forget_receipt(run.path, genotype)
        epochs = setup.training.epochs if setup.final_epochs else None
        give_way_to(run.path, run.metrics, arch, search_recipe(recipe, epochs, "train.epochs"), CURES)
        archs = tuple(write_archs(run.path, space, found.derived.genotypes))
        run.write_json("recipe.json", recipe.to_dict())
        outcome = SearchOutcome(setup, run.path, prices, found, arch, recipe, archs, setup.problem.data)
        outcome = dataclasses.replace(outcome, references=references)
        if contest is not None:
            outcome = dataclasses.replace(outcome, contest=contest.standings.to_dict())
        if setup.training.enabled:
            outcome = _with_network(run, outcome, contest.begin if contest else None)
            outcome = _beside_references(run, outcome)
        if found.trials is not None:
            write_levers(run.path, space)
        run.write_json("result.json", outcome.result)
        if outcome.network is not None:
            write_model(outcome)
        write_report(run.path)
        show(outcome)
    return outcome


def _beside_references(run: Run, outcome: SearchOutcome) -> SearchOutcome:
    """Train the references where that is asked for; the best one is handed over where it is ahead and that is asked."""
    references = trained_alike(run, outcome.against, outcome.references)
    outcome = dataclasses.replace(outcome, references=references)
    leading = _leading(outcome, references)
    if outcome.setup.best_of != "all" or not leading:
        (run.path / FOUND).unlink(missing_ok=True)
        return outcome
    write_handed(run, outcome.arch, leading[0])
    return dataclasses.replace(outcome, handed=leading[0], network=trained(run, outcome.against, leading[0])[0])


def _leading(outcome: SearchOutcome, references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """References in front of the found network: that which won a contest it took part in, else by the test images."""
    contest = outcome.contest
    if contest is None or all(network["genotype"] is not None for network in contest["networks"]):
        return outcome.against.ahead(references)
    first = contest["networks"][0]  # by its arch: a network of the search may be called as a reference is
    return tuple(one for one in references if first["genotype"] is None and one.arch.id == first["arch"])


def _with_network(run: Run, outcome: SearchOutcome, begin: Begin | None) -> SearchOutcome:
    """Train the first network on images of its resolution, all of them, from where a contest left it (`begin`)."""
    setup, arch, recipe, data = outcome.setup, outcome.arch, outcome.recipe, outcome.data
    network = training.build_network(arch, recipe, seed=setup.seed)
    if outcome.found.inherit is not None:
        network.load_state_dict(outcome.found.inherit(outcome.found.derived.first.genotype).state_dict())
    if arch.resolution != data.resolution:  # a searched resolution: the images follow the network
        data = setup.problem.source.at(arch.resolution)
    if not setup.final_epochs:
        where = (setup.compute.accelerator, setup.compute.precision)
        figures = {**training.evaluate(network, data.test, accelerator=alone(*where)), "train_seconds": 0.0}
    else:
        recipe = search_recipe(recipe, setup.training.epochs, "train.epochs")
        work = together.FinalTraining(arch, recipe, network.state_dict(), run.checkpoints / "train.pt", begin)
        together.begin(setup, work)
        figures = _train(run, network, data, recipe, setup, work.options(setup))
    return dataclasses.replace(outcome, network=network, data=data, figures=figures)


def _train(
    run: Run,
    network: Network | FlatNetwork,
    data: ImageData,
    recipe: Recipe,
    setup: SearchSetup,
    asked: training.Options,
) -> dict[str, float]:
    assert asked.checkpoint is not None
    done = training.finished_epochs(asked.checkpoint)
    go_on(run, "train", done, asked.checkpoint)
    done = done or (asked.begin.epochs if asked.begin else 0)
    steps = training.steps_per_epoch(data, recipe)
    with phase("training the network", recipe.epochs * steps, "step", completed=done * steps) as advance:
        figures = training.train(
            network,
            data,
            recipe,
            seed=setup.seed,
            accelerator=setup.compute.here,
            options=dataclasses.replace(
                asked,
                on_epoch=lambda epoch, record: run.log("train", epoch, **record),
                on_step=advance,
            ),
        )
    if sentence := averaging.verdict(figures):
        log(sentence)
    return figures


def write_model(outcome: SearchOutcome) -> None:
    """What the trained network of the run answers to the test images, and its model folder with what is known of it."""
    setup, space, table = outcome.setup, outcome.setup.problem.space, outcome.prices.table
    assert outcome.network is not None
    target = f" for {table.device.key}" if table else ""
    network = outcome.network.cpu()
    answers = write_answers(outcome.run_dir, network, outcome.data)
    model_folder.write(
        outcome.run_dir / "model",
        network,
        About(
            data=outcome.data,
            metrics={**outcome.result, **answers},
            recipe=outcome.recipe,
            family=space.name if space.name in FAMILIES else None,
            origin=f"Found by searching the {space.name} space with {setup.method_name}{target}.",
            title=_title(outcome),
        ),
    )


def _title(outcome: SearchOutcome) -> str:
    """What the network of `outcome` is, in a line."""
    called = outcome.handed.title if outcome.handed else f"a network of the {outcome.setup.problem.space.name} space"
    ms = outcome.result["measured_latency_ms"] or outcome.result["estimated_latency_ms"]
    took = "" if ms is None else f", {ms:.3g} ms on {outcome.result['device']}"
    assert outcome.network is not None
    return f"{called}: {outcome.data.name}, {outcome.network.arch.macs / 1e6:.3g} M multiply-adds{took}"
