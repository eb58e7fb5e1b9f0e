"""Every kind of file that is read back, whole, and how it is read."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

from nas.data.arrays import npz
from nas.data.folder import imagefolder
from nas.derive.handover import derived_once, write_archs, write_probabilities
from nas.derive.run import run_derivation
from nas.derive.setup import DeriveSetup, FinishedSearch
from nas.derive.within_budget import Derived, Timed
from nas.inspect import main as inspect
from nas.latency.build import Effort
from nas.latency.device import Device
from nas.latency.imports import Reading, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.kit import FORMAT, VERSION, import_kit, write_kit
from nas.latency.measuring.journal import Journal, seal
from nas.latency.measuring.visits import Visit
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.methods.candidates import early_stopping
from nas.methods.candidates.log import Clock, keep_id, run_id
from nas.methods.candidates.trials import TrialStore
from nas.networks import model_folder
from nas.networks.creation import create_model, resolve
from nas.networks.weights import network_of, read_weights
from nas.report.__main__ import main as report
from nas.report.run_page import report_html
from nas.runs import checkpoint
from nas.runs.run import Run
from nas.terminal.configuration.composition import CONF, compose
from nas.terminal.entry import plain
from nas.terminal.stored_config import run_config, without_cards
from search_spaces.families.fbnet import fbnet
from search_spaces.identity import digest
from search_spaces.space import Variable
from tests.derive.test_derive_candidates import finished
from tests.latency.test_imports import CIFAR, HELP, LUT, OFA, PAPER, PROXYLESS, SINGLE_PATH, csv_lines

FBNET = {"resolution": 16, "num_classes": 10, "in_channels": 1, "width": 0.25, "head_channels": 32}
FEW = {**FBNET, "candidates": ["k3_e1", "k5_e3", "skip"]}
SPACE = fbnet(16, 10, 1, width=0.25, head_channels=32, candidates=("k3_e1", "k5_e3", "skip"))
BOARD = Device(name="board")
VARIABLES = (Variable("kernel", (3, 5, 7), ordered=True), Variable("act", ("relu", "hswish")))
FIRST = tuple(0 for _ in SPACE.variables)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A file inside one of the folders that `write_all` makes. `form`: how its content is damaged beside its bytes;
    `read` gets a copy of the folder; `sealed` gives changed content the digest it would have been written with."""

    folder: str
    file: str
    form: str
    read: Callable[[Path], object]
    sealed: Callable[[Any], Any] = lambda content: content

    def __str__(self) -> str:
        return f"{self.folder}/{self.file}"


# -- readers


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


# -- files


def write_all(root: Path) -> None:
    """One folder for each kind of thing, as they are written."""
    (root / "archs").mkdir()
    write_archs(root / "archs", SPACE, (FIRST,))
    _write_imports(root / "imports")
    _write_kit(root / "kit")
    torch.manual_seed(0)
    network = create_model(SPACE.decode(FIRST))
    model_folder.write(root / "model", network)
    _write_run(root / "runs" / "run")
    finished(root, "random")
    (root / "study").mkdir()
    study = open_study(root / "study")
    study.add(0, [("c00", (0, 0)), ("c10", (1, 0)), ("c01", (0, 1)), ("c11", (1, 1))])
    for score in (10.0, 20.0):
        claim = study.claim()
        assert claim is not None
        study.finish(claim, score, {"top1_percent": score, "curve": [1.0, score]})
    study.fail(study.claim() or claim, "it broke")
    study.note(early_stopping.NOTE, {"epochs": 1, "rounds": 1, "candidates": 8, "correlations": [0.5, 1.0]})
    study.close()
    _write_weights(root / "weights", network)
    _write_cards(root / "cards")
    _write_data(root / "images", root / "arrays")


def _write_imports(folder: Path) -> None:
    folder.mkdir()
    (folder / "csv.csv").write_text("\n".join(csv_lines()) + "\n")
    numbers = "\n".join(" ".join(["0.25"] * len(position.candidates)) for position in PAPER.positions)
    (folder / "text.txt").write_text(numbers)
    write_layers(SPACE, folder / "layers.csv")
    lines = (folder / "layers.csv").read_text().splitlines()
    (folder / "layers.csv").write_text("\n".join([lines[0], *(f"{line}0.25" for line in lines[1:-1]), lines[-1]]))
    shutil.copy(LUT, folder / "hwnasbench.json")
    shutil.copy(SINGLE_PATH, folder / "single_path.json")
    (folder / "proxylessnas.yaml").write_text(PROXYLESS.strip())
    (folder / "ofa.yaml").write_text(OFA.strip())
    with np.load(HELP) as data:
        name = next(name for name in data.files if name.startswith("lat_"))
        np.savez(folder / "help.npz", archs=data["archs"][:400], ops=data["ops"], lat_gpu=data[name][:400])


def _write_kit(folder: Path) -> None:
    small = Effort(fit_networks=3, held_out_networks=2, rounds=2, network_rounds=2)
    write_kit(fbnet(16, 10, 1, width=0.25, candidates=("k3_e1", "skip")), BOARD, folder, effort=small)
    kit = json.loads((folder / "kit.json").read_text())
    visits = {entry["key"]: [[0.1, 0.2, 3], [0.11, 0.2, 3]] for entry in kit["rows"]}
    visits |= {entry["key"]: [[2.0 + i / 10, 0.2, 3]] * 2 for i, entry in enumerate(kit["networks"])}
    results = {
        **{"format": f"{FORMAT}_results", "version": VERSION, "kit": kit["id"], "unit": "ms"},
        **{"device": kit["device"], "environment": {"machine": "board", "python": "3"}, "visits": visits},
    }
    (folder / "results.json").write_text(json.dumps({**results, "digest": seal(results, "digest")}))
    journal = Journal(folder / "journal.jsonl", {"device": "board"})
    for turn in range(4):
        journal.record("row:a", turn, Visit(0.1, 0.2, 3))
    journal.close()


def _write_run(run: Path) -> None:
    """A finished search of a supernet."""
    card = {"_target_": "search_spaces.families.fbnet.fbnet", **FEW}
    config = OmegaConf.to_container(compose("search", ["method=dnas"]), resolve=True)
    assert isinstance(config, dict)
    config |= {"space": card, "data": {"_target_": "nas.data.digits.digits", "resolution": 16}}
    config["budget"] |= {"fraction": 0.5}
    rng = np.random.default_rng(0)
    measured = rng.uniform(1, 2, 8)
    proof = Proof.of(measured, measured * 1.01, (measured, measured), measured, 4)
    networks = tuple(
        {"arch": "a", "role": role, "measured_ms": ms, "spread_ms": 0.0, "raw_ms": ms, "estimate_ms": ms * 1.01}
        for ms, role in zip(measured.tolist(), ["fit", "held_out"] * 4, strict=True)
    )
    rows = tuple(Row(layer, shape, 0.01, 0.0, 10, 0.0125) for layer, shape in entries(SPACE))
    with Run.open(str(run), None, "fbnet-dnas", {str(key): value for key, value in config.items()}) as opened:
        for epoch in range(4):
            opened.log("search", epoch, weight_loss=2.0 / (epoch + 1), expected_latency_ms=1.5, theta_entropy=2.0)
        opened.log("train", 0, train_loss=1.0, top1_percent=50.0)
        write_probabilities(run, SPACE, tuple(rng.dirichlet(np.ones(len(p.candidates))) for p in SPACE.positions))
        write_archs(run, SPACE, (FIRST,))
        LatencyTable("fbnet", Device(), rows, 0.0, proof, {"model": "x", "notes": ["n"]}, networks).save(
            run / "table.json"
        )
        arch = SPACE.decode(FIRST)
        record = {"space": "fbnet", "method": "dnas", "data": "digits", "seed": 0, "device": Device().key}
        record |= {
            "asked_latency_ms": 1.5,
            "estimated_latency_ms": 1.4,
            "measured_latency_ms": 1.6,
            "budget_met": False,
        }
        record |= {"limit_latency_ms": 1.45, "reachable_latency_ms": [0.5, 3.0], "genotype": list(FIRST)}
        record |= {"params": arch.params, "macs": arch.macs, "top1_percent": 91.5, "weights": None, "asked_macs": 10**6}
        opened.write_json("result.json", {**record, "search_seconds": 75.0, "train_seconds": 5.0})
        trial = {"candidate": "c", "validation_top1_percent": 50.0, "costs": {"latency_ms": 1.0, "macs": 3.0}}
        opened.write_json("trials.json", [trial, {**trial, "candidate": "d", "validation_top1_percent": None}])
        keep_id(opened, "0123456789abcdef")
        Clock(opened.checkpoints / "search.json").save()
        (run / "later").mkdir()
        network = {"file": "arch.json", "params": 5, "macs": 7, "asked_latency_ms": 1.0, "measured_latency_ms": 1.0}
        opened.write_json("later/derived.json", [network, network])
    read_derived(run)


def _write_weights(folder: Path, network: torch.nn.Module) -> None:
    folder.mkdir()
    write_archs(folder, SPACE, (FIRST,))
    state = {"format": "x", "identity": {"seed": 0}, "epochs_done": 1, "theta": torch.zeros(3), "rates": [0.1, 0.2]}
    checkpoint.save(folder / "search.pt", state)
    checkpoint.save(folder / "search.pt", {**state, "epochs_done": 2})
    torch.save({"state_dict": network.state_dict(), "epoch": 3, "arch": "nas"}, folder / "foreign.pt")
    checkpoint.save_weights(folder / "weights.safetensors", network.state_dict())


def _write_cards(folder: Path) -> None:
    (folder / "space").mkdir(parents=True)
    card = yaml.safe_load((CONF / "space" / "from_card.yaml").read_text())
    (folder / "space" / "mine.yaml").write_text(yaml.safe_dump({**card, "resolution": 32}, sort_keys=False))


def _write_data(images: Path, arrays: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (images / part / label).mkdir(parents=True)
            for name in ("a.png", "b.jpg", "c.gif", "d.tif", "e.webp", "f.bmp"):
                pixels = rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(images / part / label / name)
    arrays.mkdir()
    parts = {f"x_{part}": rng.integers(0, 255, (20, 8, 8), dtype=np.uint8) for part in ("train", "test")}
    labels = {f"y_{part}": np.arange(20) % 4 for part in ("train", "test")}
    np.savez(arrays / "data.npz", **parts, **labels)


def _seal(name: str) -> Callable[[Any], Any]:
    return lambda data: {**data, name: seal(data, name)} if isinstance(data, dict) and name in data else data


def _digest_of_derived(data: Any) -> Any:
    if not isinstance(data, dict) or "digest" not in data:
        return data
    return {**data, "digest": digest({key: value for key, value in data.items() if key != "digest"})}


def _digests_of_trials(data: Any) -> Any:
    if not isinstance(data, list):
        return data
    return [_digest_of_derived(record) for record in data]


RUN = "runs/run"
KINDS = (
    Kind("archs", "arch.json", "json", read_arch),
    Kind(RUN, "table.json", "json", read_table, _seal("digest")),
    Kind("imports", "csv.csv", "table", importer("csv", PAPER)),
    Kind("imports", "text.txt", "table", importer("text", PAPER, unit="ms")),
    Kind("imports", "layers.csv", "table", importer("layers", SPACE)),
    Kind("imports", "hwnasbench.json", "json", importer("hwnasbench", CIFAR, source="pixel3")),
    Kind("imports", "single_path.json", "json", importer("single_path", PAPER)),
    Kind("imports", "proxylessnas.yaml", "yaml", importer("proxylessnas", PAPER)),
    Kind("imports", "ofa.yaml", "yaml", importer("ofa", PAPER)),
    Kind("imports", "help.npz", "arrays", importer("help", fbnet(224), source="gpu")),
    Kind("kit", "kit.json", "json", lambda folder: import_kit(folder), _seal("id")),
    Kind("kit", "results.json", "json", lambda folder: import_kit(folder), _seal("digest")),
    Kind("kit", "journal.jsonl", "lines", read_journal, _seal("seal")),
    Kind("model", "config.json", "json", read_model),
    Kind("model", "arch.json", "json", read_model),
    Kind("model", "model.safetensors", "bytes", read_model),
    Kind(RUN, "result.json", "json", read_page),
    Kind(RUN, "result.json", "json", read_front),
    Kind(RUN, "metrics.jsonl", "lines", read_page),
    Kind(RUN, "metrics.jsonl", "lines", continue_run),
    Kind(RUN, "env.json", "json", read_page),
    Kind(RUN, "env.json", "json", continue_run),
    Kind(RUN, "theta.json", "json", read_page),
    Kind(RUN, "theta.json", "json", derive_again),
    Kind(RUN, "table.json", "json", read_page, _seal("digest")),
    Kind(RUN, "trials.json", "json", read_page),
    Kind(RUN, "later/derived.json", "json", read_front),
    Kind(RUN, "derived.json", "json", read_derived, _digest_of_derived),
    Kind(RUN, "config.yaml", "yaml", read_settings),
    Kind(RUN, "config.yaml", "yaml", derive_again),
    Kind(RUN, "checkpoints/config.yaml", "yaml", continue_run),
    Kind(RUN, "checkpoints/search.json", "json", read_notes),
    Kind(RUN, "checkpoints/id.json", "json", read_notes),
    Kind("random", "trials.json", "json", derive_again, _digests_of_trials),
    Kind("random", "config.yaml", "yaml", derive_again),
    Kind("study", "trials.db", "database", read_study),
    Kind("weights", "search.pt", "state", read_checkpoint),
    Kind("weights", "foreign.pt", "state", read_foreign),
    Kind("weights", "weights.safetensors", "bytes", read_safetensors),
    Kind("cards", "space/mine.yaml", "yaml", inspect_card),
    *(Kind("images", f"train/cat/{name}", "bytes", read_images) for name in ("a.png", "b.jpg", "c.gif", "d.tif")),
    Kind("arrays", "data.npz", "arrays", lambda folder: npz(str(folder / "data.npz"))),
)
