"""Whatever reads a file that may be damaged, as a function of its folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.data.folder import imagefolder
from nas.derive.handover import derived_once
from nas.derive.run import run_derivation
from nas.derive.setup import DeriveSetup, FinishedSearch
from nas.derive.within_budget import Derived, Timed
from nas.inspect import main as inspect
from nas.latency.device import Device
from nas.latency.imports import Reading, import_file
from nas.latency.measuring.journal import Journal
from nas.latency.tables.table import LatencyTable
from nas.methods.candidates import early_stopping
from nas.methods.candidates.log import Clock, run_id
from nas.methods.candidates.trials import TrialStore
from nas.networks import model_folder
from nas.networks.creation import create_model, resolve
from nas.networks.weights import network_of, read_weights
from nas.report.__main__ import main as report
from nas.report.run_page import report_html
from nas.report.sections.diagnosis import diagnosis
from nas.runs import checkpoint
from nas.runs.run import Run
from nas.search.contest.record import ContestRecord, outcome_of
from nas.terminal.configuration.composition import compose
from nas.terminal.entry import plain
from nas.terminal.stored_config import run_config, without_cards
from tests.fuzz.spaces import BOARD, FIRST, SPACE, VARIABLES


def read_arch(folder: Path) -> None:
    arch = resolve(folder / "arch.json").arch
    network_of(arch)
    create_model(folder / "arch.json")
    assert arch.from_json(arch.to_json()) == arch and arch.macs >= 0


def read_table(folder: Path) -> None:
    table = LatencyTable.load(folder / "table.json", SPACE, Device())
    table.cost(SPACE)
    if table.proof:
        table.proof.sentence()
        table.proof.table()


def importer(form: str, space: Any, **options: Any) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        (file,) = folder.glob(f"{form}.*")
        return import_file(form, file, space=space, device=BOARD, reading=Reading(**options))

    return read


def read_journal(folder: Path) -> None:
    journal = Journal(folder / "journal.jsonl", {"device": "board"})
    journal.close()


def read_model(folder: Path) -> None:
    create_model(folder)
    model_folder.images_of(folder)


def read_page(folder: Path) -> None:
    report_html(folder)


def read_contest(folder: Path) -> None:
    outcome_of(folder)
    ContestRecord(folder, {"seed": 0})


def read_levers(folder: Path) -> None:
    diagnosis(folder, {})


def read_front(folder: Path) -> None:
    report([f"run={folder.parent}"])


def continue_run(folder: Path) -> None:
    with Run.open(None, str(folder), "x", Run.read_config(folder)) as run:
        run.log("search", 7, weight_loss=1.0)


def read_settings(folder: Path) -> None:
    run_config(str(folder))
    continue_run(folder)


@functools.cache
def _asked(words: tuple[str, ...]) -> dict[str, Any]:
    """The settings of `nas.derive`; the command line resolves them once for all runs here, since it takes its time."""
    return plain(without_cards(compose("derive", ["run=.", "measure=false", *words])))


def derive_again(folder: Path) -> None:
    """What the command `nas.derive run=folder` does."""
    asked = _asked(("budget.macs=100000000",) if folder.name == "random" else ("count=2",)) | {"run": str(folder)}
    search = FinishedSearch.from_config(folder, plain(run_config(str(folder))))
    run_derivation(DeriveSetup.from_config(search, asked))


def read_derived(folder: Path) -> None:
    derived_once(folder, SPACE, {"seed": 0}, lambda: Derived((Timed(FIRST, 1.0, 1.0),), 1))


def open_study(folder: Path) -> TrialStore:
    return TrialStore(f"sqlite:///{folder / 'trials.db'}", "s", VARIABLES, owner="me", attempts=2, identity={"seed": 0})


def read_study(folder: Path) -> None:
    study = open_study(folder)
    try:
        study.recover(restarted=True)
        study.add(1, [("c21", (2, 1))])
        study.outcomes()
        study.round(0)
        early_stopping.from_dict(study.noted(early_stopping.NOTE))
        if claim := study.claim():
            study.finish(claim, 50.0, {"top1_percent": 50.0})
    finally:
        study.close()


def read_notes(folder: Path) -> None:
    Clock(folder / "checkpoints" / "search.json").save()
    with Run.open(None, str(folder), "x", Run.read_config(folder)) as run:
        run_id(run)


def read_checkpoint(folder: Path) -> None:
    checkpoint.latest(folder / "search.pt")


def read_foreign(folder: Path) -> None:
    create_model(folder / "arch.json", checkpoint_path=folder / "foreign.pt")


def read_safetensors(folder: Path) -> None:
    read_weights(folder / "weights.safetensors")
    create_model(folder / "arch.json", checkpoint_path=folder / "weights.safetensors")


def inspect_card(folder: Path) -> None:
    inspect(["--config-dir", str(folder), "space=mine"])


def read_images(folder: Path) -> None:
    imagefolder(str(folder), resolution=8)
