"""Bad files and bad values given to every command: one line, exit status 2, and not a file more than before."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from nas.derive.handover import write_archs, write_probabilities
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries
from nas.networks.network import Network
from nas.runs.checkpoint import save_weights
from nas.terminal.configuration.composition import compose
from search_spaces.families.fbnet import fbnet

SPACE = {"resolution": 16, "num_classes": 10, "in_channels": 1, "width": 0.25, "head_channels": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good and damaged files of each kind."""
    path = tmp_path_factory.mktemp("bad")
    space = fbnet(**SPACE)
    write_archs(path, space, (tuple(1 for _ in space.positions),))
    text = (path / "arch.json").read_text()
    (path / "half.json").write_text(text[: len(text) // 2])
    (path / "other.json").write_text('{"format": "something"}')
    (path / "wide.json").write_text(text.replace('"out_channels": 32', '"out_channels": -32', 1))
    arch = space.decode(tuple(0 for _ in space.positions))
    save_weights(path / "weights.safetensors", Network(arch).state_dict())
    half = (path / "weights.safetensors").read_bytes()
    (path / "half.safetensors").write_bytes(half[: len(half) // 2])
    torch.save({"code": torch.nn.Linear}, path / "code.pt")
    for name, classes in (("one", ["cat"]), ("ragged", ["cat", "dog"])):
        for split in ("train", "val"):
            for i, label in enumerate(classes):
                target = path / name / split / label
                target.mkdir(parents=True)
                for j in range(3):
                    pixels = np.full((8, 8, 3), 40 * i + 10 * j, dtype=np.uint8)
                    Image.fromarray(pixels).save(target / f"{j}.png")
    (path / "ragged" / "train" / "dog" / "1.png").write_bytes(b"no image")
    (path / "empty").mkdir()
    np.savez(path / "bad.npz", images=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(3, np.int64))
    pixels, labels = np.random.default_rng(0).integers(0, 255, (9, 8, 8), np.uint8), np.arange(9) % 2
    labels[8] = 2
    np.savez(path / "single.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    _finished_run(path / "run", space)
    return path


def _finished_run(run: Path, space: object) -> None:
    """As much of a finished search as nas.derive reads."""
    import yaml

    from search_spaces.space import LayerwiseSpace

    assert isinstance(space, LayerwiseSpace)
    run.mkdir()
    probabilities = tuple(np.full(len(p.candidates), 1 / len(p.candidates)) for p in space.positions)
    write_probabilities(run, space, probabilities)
    rows = tuple(Row(layer, shape, 0.01, 0.0, 10, 0.01) for layer, shape in entries(space))
    LatencyTable("fbnet", Device(), rows, 0.0, None).save(run / "table.json")
    config = {
        "space": {"_target_": "search_spaces.families.fbnet.fbnet", **SPACE},
        "data": {"_target_": "nas.data.digits.digits", "resolution": 16},
        "device": {"_target_": "nas.latency.device.Device"},
        "method": OmegaConf.to_container(compose("search", ["method=dnas"])["method"]),
        "budget": {"latency_ms": None, "fraction": 0.5},
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))


CASES = [
    ("search budget.latency_ms=0", ["budget.latency_ms must be a positive number", "got 0"]),
    ("search budget.latency_ms=-2", ["budget.latency_ms must be a positive number", "-2"]),
    ("search budget.latency_ms=fast", ["budget.latency_ms must be a number", "'fast'"]),
    ("search method.mode=softer", ["method.mode must be one of", "soft"]),
    ("search method.epochs=0", ["method.epochs must be >= 1, got 0"]),
    ("search method.epochs=1 method.warmup_epochs=2", ["got 2 of 1 epochs", "method.warmup_epochs=0 at most"]),
    ("search space.candidates=[]", ["stage 1 has a layer without candidates"]),
    ("search derive.use=1", ["use must be at least 0 and less than 1"]),
    ("search derive.mode=argmax derive.count=2", ["argmax is a single network, 2 were asked"]),
    ("search recipe.optimizer=sdg", ["sdg", "sgd"]),
    ("search recipe.lr=-1", ["lr"]),
    ("search device.threads=1000", ["threads=1000", "cores"]),
    ("search device.runtime=tflite", ["unknown runtime", "onnxruntime"]),
    ("search accelerator=tpu", ["accelerator", "cpu"]),
    ("search space.resolution=0", ["resolution"]),
    ("search space.candidates=[k9_e1]", ["k9_e1"]),
    ("search derive.count=0", ["derive.count must be at least 1, got 0"]),
    ("search budget.fraction=1.5", ["budget.fraction must be at most 1, got 1.5"]),
    ("search budget.fraction=null derive.count=0", ["derive.count must be at least 1, got 0"]),
    ("search budget.margin=-0.1", ["budget.margin must be at least 0"]),
    ("search data=imagefolder data.root=nowhere", ["nowhere"]),
    ("search data=imagefolder", ["data"]),
    ("search method=random search.storage=trials.db", ["search.storage='trials.db' cannot be opened", "URL"]),
    ("search method=random search.storage=sqlite:///:memory:", ["in memory", "sqlite:///FILE"]),
    ("search method=random search.storage=sqlite:///arch.json", ["sqlite:///arch.json", "not a database"]),
    ("search method=random search.storage=sqlite:///arch.json/x.db", ["arch.json is not a folder"]),
    ("search method=random search.storage=mysqlx://me/trials", ["mysqlx"]),
    ("search method=dnas method.augment=zzz", ["unknown augmentation 'zzz'; one of "]),
    ("search method=dnas method.alpha=0", ["alpha must be > 0, got 0"]),
    ("search method=dnas method.beta=-1", ["beta must be >= 0, got -1"]),
    ("search method=random search.stop_correlation=2", ["search.stop_correlation must be at most 1, got 2"]),
    ("search method=random search.stop_correlation=0.9 search.epochs=1", ["search.stop_correlation", "got 1"]),
    *(
        (
            f"search data=npz data.root=single.npz method={method}",
            ["1 training image of class 2", "leave the class out"],
        )
        for method in ("dnas", "random")
    ),
    ("search data=npz data.root=single.npz data.train_limit=4", ["training images: class '2' has 1 image"]),
    ("train", ["arch has no value", "arch="]),
    ("train arch=nowhere.json", ["nowhere.json"]),
    ("train arch=half.json", ["half.json", "truncated"]),
    ("train arch=other.json", ["other.json", "not an arch"]),
    ("train arch=wide.json", ["wide.json", "-32"]),
    ("train arch=fbnet_100", ["fbnet_100", "fbnetc_100"]),
    ("train arch=arch.json initial_weights=nowhere.pt", ["nowhere.pt"]),
    ("train arch=arch.json initial_weights=half.safetensors", ["half.safetensors"]),
    ("train arch=arch.json initial_weights=code.pt", ["code.pt"]),
    ("train arch=arch.json data=imagefolder data.root=one", ["one", "class"]),
    ("train arch=arch.json data=imagefolder data.root=empty", ["empty"]),
    ("train arch=arch.json data=imagefolder data.root=ragged", ["1.png"]),
    ("train arch=arch.json data=npz data.root=bad.npz", ["bad.npz"]),
    ("evaluate arch=arch.json", ["checkpoint"]),
    ("evaluate arch=arch.json checkpoint=nowhere.pt", ["nowhere.pt"]),
    ("evaluate arch=arch.json checkpoint=half.safetensors", ["half.safetensors"]),
    ("evaluate arch=arch.json checkpoint=weights.safetensors", ["weights.safetensors"]),
    ("export arch=arch.json checkpoint=random format=onxx", ["onxx", "onnx"]),
    ("export arch=arch.json checkpoint=weights.safetensors", ["weights.safetensors"]),
    ("latency action=biuld", ["action must be one of", "build"]),
    ("latency action=import file=nowhere.csv format=csv device.name=pixel1", ["nowhere.csv"]),
    ("latency action=import kit=nowhere", ["nowhere"]),
    ("derive run=nowhere", ["nowhere is not a run directory"]),
    ("derive run=run budget.latency_ms=0", ["positive"]),
    ("derive run=run budget.latency_ms=0.0001", ["reach", "0.0001"]),
    ("derive run=run count=0", ["count"]),
    ("derive run=run mode=best", ["mode must be one of", "argmax"]),
    ("report run=nowhere", ["nowhere is not a run directory (there is no such folder)"]),
    ("report run=run", ["run/result.json"]),
    ("zoo sort=size", ["size", "params"]),
    ("zoo filter=alexnet", ["alexnet"]),
]


@pytest.mark.parametrize(("line", "words"), CASES, ids=[line for line, _ in CASES])
def test_bad_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, words: list[str]
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_size for path in folder.rglob("*")}
    name, *overrides = line.split()
    package = importlib.util.find_spec(f"nas.{name}").submodule_search_locations is not None
    module = f"nas.{name}.__main__" if package else f"nas.{name}"
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(module).main(overrides)
    text = capsys.readouterr().err
    assert stop.value.code == 2, text
    assert text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text, text
    for word in words:
        assert word in text, text
    assert {path: path.stat().st_size for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", ["theta.json", "table.json", "config.yaml"])
def test_damaged_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / "run").mkdir()
    for path in (folder / "run").iterdir():
        (tmp_path / "run" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    derive = importlib.import_module("nas.derive.__main__").main
    damaged = tmp_path / "run" / name
    damaged.write_text(damaged.read_text()[: damaged.stat().st_size // 2])
    with pytest.raises(SystemExit) as stop:
        derive(["run=run", "measure=false"])
    text = capsys.readouterr().err
    assert stop.value.code == 2 and text.count("\n") == 1
    assert (name in text) or name == "config.yaml"


def test_table_of_another_device(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for path in (folder / "run").iterdir():
        (tmp_path / "run" / path.name).write_bytes(path.read_bytes())
    derive = importlib.import_module("nas.derive.__main__").main
    derive(["run=run", "measure=false"])
    capsys.readouterr()
    path = tmp_path / "run" / "table.json"
    dataclasses.replace(LatencyTable.load(path), device=Device(threads=2)).save(path)
    with pytest.raises(SystemExit):
        derive(["run=run", "measure=false"])
    assert "local-onnxruntime-fp32-b1-t2" in capsys.readouterr().err
