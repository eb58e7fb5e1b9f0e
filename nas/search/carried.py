"""Found networks carried to their device and back: their kit, their times, and the receipt that these complete."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas.derive.handover import derived_now, write_archs
from nas.derive.settings import TABLE
from nas.derive.verdict import kit_command, say_missed
from nas.derive.within_budget import Derived
from nas.latency.devices import TargetDevice
from nas.latency.kits.known_times import Known, add_known, read_known
from nas.latency.kits.of_networks import import_network_times, write_network_kit
from nas.latency.kits.results import read_results
from nas.latency.measuring.samples import Conditions
from nas.latency.tables.origin import measured_by
from nas.latency.tables.table import LatencyTable
from nas.methods.candidates.trials_file import read_trials
from nas.networks import CONFIG
from nas.networks.creation import create_model
from nas.networks.network import FlatNetwork, Network
from nas.report.run_page import write_report
from nas.runs.files import set_aside, write_json
from nas.runs.metrics import Metrics
from nas.runs.result_file import read_environment, read_result
from nas.runs.run import Run, held
from nas.search.contest.of_search import as_decided
from nas.search.contest.record import outcome_of
from nas.search.deriving import of_finished
from nas.search.former import set_aside_trainings
from nas.search.found import Found
from nas.search.pricing.prices import Prices, price
from nas.search.references.pricing import of_finished as references_of
from nas.search.result import SearchOutcome
from nas.search.run import write_model
from nas.search.setup import SearchSetup
from nas.terminal.configuration.override_text import command
from nas.terminal.progress import log, table
from nas.train.answers.stored import FILE as ANSWERS
from search_spaces.arch import Arch
from search_spaces.plain_data import identity

TRAINED = ("top1_percent", "top5_percent", "weights", "train_seconds")  # of a receipt: what the training gave
NAMES = re.compile(r"arch(-\d+)?\.json")


@dataclass(frozen=True)
class CarriedRun:
    """The finished search in `folder`, by the settings that it was made with, whose device is elsewhere."""

    folder: Path
    setup: SearchSetup

    @classmethod
    def from_config(cls, folder: Path, config: Mapping[str, Any]) -> CarriedRun:
        """The search in `folder` by its stored settings. Raises `ValueError` where it is none, or is not finished."""
        if Run.read_command(folder) not in (None, "search") or not config.get("method"):
            raise ValueError(f"{folder} is not the run of a search; kits of found networks are made of those")
        if handed := read_result(folder)["handed_over"]:
            raise ValueError(f"{folder} hands over the reference {handed}; kits are for networks that a search found")
        return cls(folder, SearchSetup.from_config(config))

    @cached_property
    def table(self) -> LatencyTable:
        return LatencyTable.load(self.folder / TABLE)

    @cached_property
    def device(self) -> TargetDevice:
        """Whom a kit is carried to. Raises `ValueError` where nobody is."""
        if not (self.folder / TABLE).exists():
            raise ValueError(f"{self.folder} has no latency table: no latency was asked for, so there is no device")
        device = self.setup.device.of_run(self.folder / TABLE)
        if (reason := device.not_measured(self.table)) is None:
            raise ValueError(f"the device of {self.folder} is at hand: the search itself measures its networks")
        if not device.takes_kits:
            raise ValueError(
                f"{reason}; kits go to devices with a name of their own, under a runtime of ours (docs/runtimes.md)"
            )
        return device

    @cached_property
    def identified_by(self) -> dict[str, Any]:
        """What distinguishes the run from others, wherever its directory lies."""
        result, began = read_result(self.folder), read_environment(self.folder)["time"]
        found = {name: result[name] for name in ("space", "method", "data", "seed", "device")}
        return {**found, "table": identity.digest(self.table.to_dict()), "began": began}

    def networks(self) -> dict[str, Arch]:
        """The networks of the run, and those derived from it since for its device, by their files."""
        others = tuple(f"derived-{path.stem}" for path in (self.folder / "tables").glob("*.json"))
        derived = [path for path in sorted(self.folder.glob("derived*")) if path.is_dir()]
        places = [self.folder, *(path for path in derived if not path.name.startswith(others))]
        files = [file for place in places for file in sorted(place.iterdir()) if NAMES.fullmatch(file.name)]
        return {file.relative_to(self.folder).as_posix(): Arch.load(file) for file in files}


def write_found_kit(run: CarriedRun, folder: str | Path) -> Path:
    """Write a kit of the networks of `run` that have no times yet, to the new folder `folder`, and say what is next.

    Raises `ValueError` where all have, and for a run that no kit is for.
    """
    key = run.device.key
    known = read_known(run.folder, key)
    networks = {file: arch for file, arch in run.networks().items() if arch.id not in known}
    if not networks:
        raise ValueError(f"all networks of {run.folder} have their times on {key}; there is nothing to carry")
    back = command(None, {"run": str(run.folder)})
    more = {"run": run.identified_by}
    made = write_network_kit(list(networks.values()), key, folder, seed=run.setup.seed, command=back, more=more)
    log(f"{made} holds {', '.join(networks)} of {run.folder}, and the reference network")
    log(f"copy it to the device of {key}, run python measure.py in it, bring it back, and enter its times:")
    log(f"next: {command('latency', {'action': 'import', 'run': str(run.folder), 'kit': str(made)})}")
    return made


def import_found(run: CarriedRun, folder: str | Path) -> list[str]:
    """Enter the times that the kit `folder` brings into `run`: its receipt, its report, its model card.

    Where the first network misses its budget, another one is derived, as by a search that measures for itself, and is
    to be carried in its turn. The same kit again changes nothing. Returns a phrase for each budget that is missed in
    the end. Raises `ValueError` for a kit of another run or device, and for one that is unfinished or damaged.
    """
    with held(run.folder):
        _enter(run, Path(folder))
        prices = price(run.folder, run.setup)  # with what is known now
        deriving = of_finished(run.folder, run.setup, prices)
        derived = as_decided(run.folder, derived_now(run.folder, deriving.depends, deriving.now))
        before = read_result(run.folder)
        outcome = _outcome(run, prices, derived, before)
        _write(run, outcome, is_same=outcome.arch.id == before.get("arch"))
        _show(run, outcome, is_same=outcome.arch.id == before.get("arch"))
    return outcome.missed


def _enter(run: CarriedRun, folder: Path) -> None:
    """Store the times in the kit `folder` with `run`, if they are its."""
    key = run.device.key
    times = import_network_times(folder, key, Conditions.of_table(run.table.environment))
    results = read_results(folder)
    belongs = results.kit.get("run")
    if not isinstance(belongs, dict):
        raise ValueError(f"{folder} is the kit of no run; write one with action=kit run={run.folder}")
    identity.check(f"kit {folder}", belongs, run.identified_by, "name the run that it was written for, run=...")
    if "imported" not in run.table.environment:  # a table of a file does not say what it was measured with
        made, asked = (measured_by(key, found) for found in (results.environment, run.table.environment))
        fix = "measure it with what the table was measured with, or search with a table of what is there now"
        identity.check(f"kit {folder}", made, asked, fix)
    taken = str(results.environment.get("time", ""))
    kit = results.kit["id"]
    add_known(run.folder, key, {arch: Known(time, taken, kit) for arch, time in times.items()})


def _outcome(run: CarriedRun, prices: Prices, derived: Derived, before: Mapping[str, Any]) -> SearchOutcome:
    """What the search found, now that more is known. `before`: its receipt; a training stays that of its network."""
    setup, space, genotype = run.setup, run.setup.problem.space, derived.first.genotype
    arch = space.decode(genotype)
    score, equals = None, None
    if before["trials"] is not None:
        genotypes, scores = read_trials(run.folder, space)
        score = float(scores[(genotypes == genotype).all(axis=1)][0])
        equals = int((scores == score).sum()) - 1
    found = Found(derived, before["search_seconds"], before["derived_by"], None, before["trials"], score, equals)
    is_trained = arch.id == before.get("arch") and before["top1_percent"] is not None
    figures = {name: before.get(name) for name in TRAINED} if is_trained else {}
    archs = tuple(write_archs(run.folder, space, derived.genotypes))
    references = references_of(run.folder, before)
    data = setup.problem.data
    if is_trained and arch.resolution != data.resolution:
        data = setup.problem.source.at(arch.resolution)
    outcome = SearchOutcome(
        setup, run.folder, prices, found, arch, space.recipe(genotype), archs, data, None, figures, references
    )
    return dataclasses.replace(outcome, contest=outcome_of(run.folder))


def _write(run: CarriedRun, outcome: SearchOutcome, is_same: bool) -> None:
    """The run's files, the receipt behind those that it tells of."""
    write_json(run.folder / "recipe.json", outcome.recipe.to_dict())
    model = run.folder / "model"
    if is_same and (model / CONFIG).exists():
        network = create_model(str(model))
        assert isinstance(network, Network | FlatNetwork)
        write_model(dataclasses.replace(outcome, network=network))
    elif model.exists():
        aside = set_aside(model)
        (run.folder / ANSWERS).unlink(missing_ok=True)
        log(f"{model} is of another network: kept as {aside.name}")
    if not is_same:
        set_aside_trainings(run.folder, Metrics(run.folder))
    write_json(run.folder / "result.json", outcome.result)
    write_report(run.folder)


def _show(run: CarriedRun, outcome: SearchOutcome, is_same: bool) -> None:
    """The networks with their times, whether the budget is met, and what to type next."""
    first, asked = outcome.found.derived.first, outcome.prices.budgets.latency
    if outcome.missed:
        say_missed(outcome.missed, "no other network of the run comes closer; search under a smaller budget")
    rows = [
        (path.name, *("–" if ms is None else f"{ms:#.4g}" for ms in (network.estimated_ms, network.measured_ms)))
        for path, network in zip(outcome.archs, outcome.found.derived.networks, strict=True)
    ]
    within = f" within {asked.asked_ms:.4g} ms" if asked else ""
    table(f"networks of {run.folder}{within} on {run.device.key}", ("file", "estimated ms", "measured ms"), rows)
    if not is_same:
        log(f"arch.json is another network now, {outcome.arch.id}: the one before is above the budget on the device")
    if first.measured_ms is None:
        log(f"its time is still to be measured there: {kit_command(run.folder, run.device.key)}")
    if not is_same and outcome.setup.training.enabled:
        log(f"then train it: {command('search', {'resume': str(run.folder)})}")
    if first.measured_ms is not None and not outcome.missed:
        log(f"measured {first.measured_ms:.4g} ms: " + ("the budget is met" if asked else "no budget was asked for"))
    log(f"written: {run.folder}/result.json, {run.folder}/report.html")
