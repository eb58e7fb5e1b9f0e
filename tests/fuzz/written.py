"""The files that are damaged, as they are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

from nas.derive.handover import write_archs, write_probabilities
from nas.latency.build import Effort
from nas.latency.device import Device
from nas.latency.imports.layers import write_layers
from nas.latency.kits.files import FORMAT, VERSION
from nas.latency.kits.of_space import write_kit
from nas.latency.measuring.journal import Journal, seal
from nas.latency.measuring.visits import Visit
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.methods.candidates import early_stopping
from nas.methods.candidates.log import Clock, keep_id
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.runs import checkpoint
from nas.runs.run import Run
from nas.search.contest.record import ContestRecord
from nas.terminal.configuration.composition import CONF, compose
from search_spaces.families.fbnet import fbnet
from tests.derive.test_derive_candidates import finished
from tests.fuzz.readers import open_study, read_derived
from tests.fuzz.spaces import BOARD, FEW, FIRST, SPACE
from tests.latency.test_imports import HELP, LUT, OFA, PAPER, PROXYLESS, SINGLE_PATH, csv_lines


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
    visits = {entry["key"]: [[0.1, 0.2, 3, 0, 0.11], [0.11, 0.2, 3, 1, 0.12]] for entry in kit["rows"]}
    visits |= {
        entry["key"]: [[2.0 + i / 10, 0.2, 3, p, 2.5] for p in (0, 1)] for i, entry in enumerate(kit["networks"])
    }
    results = {
        **{"format": f"{FORMAT}_results", "version": VERSION, "kit": kit["id"], "unit": "ms"},
        **{"device": kit["device"], "environment": {"machine": "board", "python": "3"}, "visits": visits},
    }
    (folder / "results.json").write_text(json.dumps({**results, "digest": seal(results, "digest")}))
    journal = Journal(folder / "journal.jsonl", {"device": "board"})
    for turn in range(4):
        journal.record("row:a", turn, Visit(0.1, 0.2, 3, 0, 0.11))
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
        _write_contest(opened)
        opened.write_json("answers.json", ANSWERS)
        record |= {"contest": CONTEST, "undecided_positions": ["stage1.0"]}
        opened.write_json("result.json", {**record, "search_seconds": 75.0, "train_seconds": 5.0})
        trial = {"candidate": "c", "validation_top1_percent": 50.0, "costs": {"latency_ms": 1.0, "macs": 3.0}}
        opened.write_json("trials.json", [trial, {**trial, "candidate": "d", "validation_top1_percent": None}])
        keep_id(opened, "0123456789abcdef")
        Clock(opened.checkpoints / "search.json").save()
        (run / "later").mkdir()
        network = {"file": "arch.json", "params": 5, "macs": 7, "asked_latency_ms": 1.0, "measured_latency_ms": 1.0}
        opened.write_json("later/derived.json", [network, network])
    read_derived(run)


NETWORKS = [
    {"name": name, "arch": "a", "genotype": [0], "score": 1.0, "epochs": 1, "validation_top1_percent": 60.0}
    for name in ("found-1", "found-2")
]
CONTEST = {
    "plan": {"networks": 2, "epochs": 2, "cuts": [1], "kept": [1], "total_epochs": 3},
    "networks": NETWORKS,
    "rungs": [{"epochs": 1, "networks": [{**known, "kept": known["name"] == "found-1"} for known in NETWORKS]}],
    "winner": "found-1",
    "score_is": "x",
}


ANSWERS = {
    **{"test_images": 3, "class_percent": {"a": 50.0, "b": None}, "class_images": {"a": 2, "b": 1}},
    **{"confusion": [[1, 1], [0, 1]], "calibration_error_percent": 1.5, "calibration_bins": 15},
    "samples": {"wrong": [{"row": 1, "label": 0, "answer": 1, "confidence": 0.5, "picture": "iVBORw0KGgo="}]},
}


def _write_contest(run: Run) -> None:
    kept = ContestRecord(run.path, {"seed": 0})
    kept.keep("k", 1, {"top1_percent": 60.0, "loss": 1.0, "train_seconds": 1.0, "data": "d"})
    kept.keep("l", 1, {"error": "it broke"})
    kept.end(CONTEST)
    levels = [{"label": label, "count": 2, "mean": 50.0, "half": 1.0} for label in ("1", "2")]
    lever = {"name": "depth", "ordered": True, "gain": 1.0, "low": -1.0, "high": 3.0, "levels": levels}
    run.write_json("levers.json", {"candidates": 4, "levers": [lever]})


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
