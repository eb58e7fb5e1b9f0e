"""`python -m nas.search space=S method=M data=D device=V budget.latency_ms=X`: from a device to a trained network."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from nas.candidates.early_stopping import check_equal_lengths
from nas.candidates.executors.base import Engine
from nas.candidates.loop import CandidateSettings, search_candidates
from nas.candidates.problem import order_maker, problem_of
from nas.candidates.storage import check_storage
from nas.candidates.training_job import search_recipe
from nas.data import ImageData
from nas.data.card import data_of
from nas.derive import most_probable as derivation
from nas.derive.budget import Budget, check_budget, count_limits, resolve_budget
from nas.derive.handover import (
    Derivation,
    clock_of,
    derivation_identity,
    derive_probable,
    derive_ranked,
    derived_once,
    rounded,
    write_archs,
    write_probabilities,
)
from nas.derive.most_probable import How
from nas.derive.verdict import Asked, not_measured
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable
from nas.methods.base import SearchResult, SupernetMethod, Task, kind_of
from nas.networks import model_folder
from nas.report.run_page import write_report
from nas.runs import resuming
from nas.runs.run import Run
from nas.search import result as receipt
from nas.search.setup import Latency, needs_latency
from nas.terminal.configuration import cards
from nas.terminal.entry import DictConfig, check_types, entry, plain
from nas.terminal.progress import log, phase
from nas.train import averaging, training
from nas.train.accelerator import make_accelerator
from search_spaces.additive import AdditiveCost
from search_spaces.budgets import Feasible, Limit
from search_spaces.joint import JointSpace
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace
from search_spaces.zoo import FAMILIES

SETTINGS = "nas.candidates.loop.CandidateSettings"


@entry("search")
def main(cfg: DictConfig) -> int:
    check_types(
        cfg,
        {
            "seed": int,
            "budget.latency_ms": float | None,
            "budget.macs": int | None,
            "budget.params": int | None,
            "budget.fraction": (float | None, 0, 1),
            "budget.margin": (float | None, 0),
            "budget.tolerance": (float, 0),
            "budget.rounds": (int, 1),
            "latency": Latency,
            "derive.how": How | None,
            "derive.count": (int, 1),
            "derive.use": (float, 0, 1),
            "train.enabled": bool,
            "train.inherit": bool,
            "tables": str,
            "arch": str | None,
        },
    )
    config = plain(cfg)
    check_budget(config["budget"]["latency_ms"])
    # everything that can be wrong in the input is found before a run directory exists
    accelerator = make_accelerator(config["accelerator"], config["precision"])
    recipe: Recipe = cards.build(config["recipe"], "recipe", {})
    data, space = problem_of(config, recipe)
    device: Device = cards.build(config["device"], "device", {})
    method: Any = cards.build(config["method"], "method", {})
    one_by_one = kind_of(method) == "candidates"
    asked = _derivation(method, config)
    timing = needs_latency(config["latency"], config["budget"], not one_by_one)
    if not one_by_one:
        _check_supernet(config, space, method)
    engine: Engine = cards.build(config["engine"], "engine", {})
    settings: CandidateSettings = cards.build({"_target_": SETTINGS, **config["search"]}, "search", {})
    base = recipe
    if one_by_one:
        base = search_recipe(recipe, settings.epochs)
        if settings.stop_correlation is not None:
            check_equal_lengths(dataclasses.replace(space.recipes, base=base))
        if settings.storage is not None:
            check_storage(settings.storage)
    counts = count_limits(space, config["budget"]["macs"], config["budget"]["params"])
    # a method is one file, called what its card is called
    names = {"space": space.name, "method": config["method"]["_target_"].split(".")[-2]}
    with Run.open(config["run_dir"], config["resume"], f"{names['space']}-{names['method']}", config) as run:
        architectures = space.architectures
        latency_table = _table(run, architectures, device, config) if timing else None
        cost = latency_table.cost(space) if latency_table else None
        budget = _budget(cost, latency_table, config["budget"], bool(counts)) if cost and latency_table else None
        budgets = Asked(budget, config["budget"]["macs"], config["budget"]["params"])
        log(_intention(space, data, latency_table, budget))
        clock = clock_of(space, cost, device if not_measured(latency_table) is None else None, config["seed"])
        timed = device if latency_table else None
        trials: int | None = None
        validation: float | None = None
        inherit = None
        if one_by_one:
            candidates = JointSpace(architectures, dataclasses.replace(space.recipes, base=base))
            order_of = order_maker(config, candidates, data)
            limits = [Limit("latency_ms", cost, budget.limit_ms)] if cost and budget else []
            feasible = Feasible(space, limits + counts)
            found = search_candidates(run, method, feasible, order_of, engine, settings, config["seed"])
            ranked = found.genotypes[feasible.mask(found.genotypes)]
            depends = derivation_identity(ranked.tolist(), space, cost, timed, budget, asked)
            derived = derived_once(run.path, space, depends, lambda: derive_ranked(ranked, cost, clock, budget, asked))
            trials, seconds = len(found.genotypes), found.seconds
            validation = float(found.scores[(found.genotypes == derived.first.genotype).all(axis=1)][0])
        else:
            assert cost is not None
            result = _search(run, method, architectures, data, cost, budget, accelerator, config["seed"])
            write_probabilities(run.path, architectures, result.probabilities, result.decided)
            outcome = (result.probabilities, result.decided)
            depends = derivation_identity(rounded(*outcome), space, cost, timed, budget, asked)
            derived = derived_once(
                run.path, space, depends, lambda: derive_probable(*outcome, cost, clock, budget, asked)
            )
            seconds, inherit = result.seconds, result.inherit if config["train"]["inherit"] else None
        genotype = derived.first.genotype
        arch, recipe = space.decode(genotype), space.recipe(genotype)
        archs = write_archs(run.path, space, derived.genotypes)
        run.write_json("recipe.json", recipe.to_dict())
        figures: dict[str, float] = {}
        if config["train"]["enabled"]:
            network = training.build_network(arch, recipe, seed=config["seed"])
            if inherit is not None:
                network.load_state_dict(inherit(genotype).state_dict())
            if arch.resolution != data.resolution:  # a searched resolution: the images follow the network
                data = data_of({**config["data"], "resolution": arch.resolution})
            figures = _train(run, network, data, recipe, accelerator, config["seed"])
        record = receipt.record(
            config,
            names,
            data,
            latency_table,
            budgets,
            derived,
            arch,
            recipe,
            figures,
            "ranking" if one_by_one else asked.how,
            inherit is not None,
            seconds,
            trials,
            validation,
        )
        run.write_json("result.json", record)
        if figures:
            target = f" for {latency_table.device.key}" if latency_table else ""
            origin = f"Found by searching the {names['space']} space with {names['method']}{target}."
            model_folder.write(
                run.path / "model",
                network.cpu(),
                data=data,
                metrics=record,
                recipe=recipe,
                family=names["space"] if names["space"] in FAMILIES else None,
                origin=origin,
            )
        write_report(run.path)
        missed = budgets.shortfalls(derived.first, arch)
        receipt.show(run.path, architectures if not space.recipes.variables else space, derived, archs, record, missed)
    return 1 if missed else 0


def _derivation(method: Any, config: dict[str, Any]) -> Derivation:
    """How a network is derived, refused where no search could answer it."""
    how = derivation.own_how(method, config["derive"]["how"])
    use, count = config["derive"]["use"], config["derive"]["count"]
    derivation.check(how, count, use)
    return Derivation(how, use, count, config["budget"]["rounds"], config["seed"])


def _check_supernet(config: dict[str, Any], space: JointSpace, method: SupernetMethod) -> None:
    """A supernet is one set of weights under one recipe, and its derivation knows one cost."""
    method.check(space.architectures)
    if space.recipes.variables:
        raise ValueError("a supernet is trained by one recipe; search recipes with method=predictor, random or tpe")
    for name in ("macs", "params"):
        if config["budget"][name] is not None:
            raise ValueError(
                f"this method meets budget.latency_ms alone; budget.{name} needs method=predictor or random"
            )


def _table(run: Run, space: SearchSpace, device: Device, config: dict[str, Any]) -> LatencyTable:
    """The device's table, copied into the run: a resumed run prices with the very numbers it began with."""
    path = run.path / "table.json"
    if path.exists():
        return LatencyTable.load(path, space, device)
    found = build_table(space, device, config["tables"])
    found.save(path)
    return found


def _budget(cost: AdditiveCost, latency_table: LatencyTable, asked: dict[str, Any], others: bool) -> Budget | None:
    """The latency budget; without one by name, `fraction` holds only where no other cost has a budget."""
    margin = latency_table.margin if asked["margin"] is None else asked["margin"]
    fraction = None if others else asked["fraction"]
    return resolve_budget(cost, asked["latency_ms"], fraction, margin, asked["tolerance"])


def _intention(space: JointSpace, data: ImageData, latency_table: LatencyTable | None, budget: Budget | None) -> str:
    images = f"{data.in_channels}x{data.resolution}x{data.resolution}"
    recipes = f" times {space.recipes.size:.2g} recipes" if space.recipes.variables else ""
    networks = f"{space.architectures.size:.2g} networks{recipes}"
    parts = [f"{space.name}: {networks} on {data.name} ({images}, {data.num_classes} classes)"]
    parts.append(f"device {latency_table.device.key}" if latency_table else "no latency is asked for, none is measured")
    if latency_table and latency_table.proof:
        parts.append(f"table: {latency_table.proof.sentence()}")
    if latency_table and (why := not_measured(latency_table)):
        parts.append(f"NOTE: no network will be measured, estimates decide alone: {why}")
    if budget:
        parts.append(
            f"budget {budget.asked_ms:.4g} ms of {budget.low_ms:.4g} to {budget.high_ms:.4g} ms reachable; "
            f"estimates are kept below {budget.limit_ms:.4g} ms (margin {100 * budget.margin:.1f}%)"
        )
    return "\n".join(parts)


def _search(
    run: Run,
    method: SupernetMethod,
    space: SearchSpace,
    data: ImageData,
    cost: AdditiveCost,
    budget: Budget | None,
    accelerator: Any,
    seed: int,
) -> SearchResult:
    checkpoint = run.checkpoints / "search.pt"
    done = method.finished(checkpoint)
    run.rewind("search", done)
    with phase("searching", method.epochs, "epoch", completed=done) as advance:
        seen = 0.0  # of the present epoch

        def on_share(share: float) -> None:
            nonlocal seen
            if share > seen:  # the two parts of the data are passed side by side
                advance(share - seen)
                seen = share

        def on_epoch(epoch: int, record: dict[str, float]) -> None:
            nonlocal seen
            run.log("search", epoch, **record)
            advance(1 - seen, f"loss {record['weight_loss']:.3f}, expected {record['expected_latency_ms']:.4g} ms")
            seen = 0.0

        limit_ms = budget.limit_ms if budget else None
        return method.search(Task(space, data, cost, limit_ms, seed, accelerator, checkpoint, on_epoch, on_share))


def _train(
    run: Run, network: nn.Module, data: ImageData, recipe: Recipe, accelerator: Any, seed: int
) -> dict[str, float]:
    checkpoint = run.checkpoints / "train.pt"
    done = training.finished_epochs(checkpoint)
    run.rewind("train", done)
    steps = training.steps_per_epoch(data, recipe)
    with phase("training the network", recipe.epochs * steps, "step", completed=done * steps) as advance:
        figures = training.train(
            network,
            data,
            recipe,
            seed=seed,
            accelerator=accelerator,
            checkpoint=checkpoint,
            on_epoch=lambda epoch, record: run.log("train", epoch, **record),
            on_step=advance,
            may_change=resuming.MAY_CHANGE,
        )
    if sentence := averaging.verdict(figures):
        log(sentence)
    return figures


if __name__ == "__main__":
    main()
