"""docs/extending.md, literally: its files are written, its commands run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas.export.exporting import export
from nas.latency import runtimes
from nas.latency.device import Device
from nas.latency.measuring.fresh import measure_arch_fresh_ms
from nas.networks.creation import create_model
from nas.networks.network import build_network
from predictors.metrics import kendall_tau
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, activations
from tests.test_docs import ROOT, blocks, shell_lines

PAGE = "docs/extending.md"
COMMANDS = [line for line in shell_lines(PAGE) if line.startswith("python -m nas.")]
FILE = re.compile(r"# (\S+\.(?:yaml|py))\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page: code blocks that begin with their path."""
    for language in ("yaml", "python"):
        for block in blocks(PAGE, language):
            if found := FILE.match(block):
                path = tmp_path / found[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block)
    return tmp_path


def run(line: str, folder: Path, *more: str) -> str:
    done = subprocess.run(
        [sys.executable, *shlex.split(line)[1:], *more],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=560,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def test_the_page_has_its_commands() -> None:
    assert [line.split()[2] for line in COMMANDS] == [*["nas.inspect", "nas.search"] * 2, "nas.search"]


@pytest.mark.parametrize("line", [line for line in COMMANDS if "nas.inspect" in line])
def test_inspecting_runs(line: str, folder: Path) -> None:
    said = run(line, folder)
    assert "rows of a latency table" in said
    assert "one layer a choice" in said
    assert "dnas, nsga2, predictor, random, regularized_evolution, single_path, tpe" in said  # masking needs widths
    assert f"rows: {line.replace('nas.inspect', 'nas.latency')}" in said  # pasted, the next command works


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if "nas.search" in line and "data=" not in line])
def test_searching_runs(line: str, folder: Path) -> None:
    run(
        line,
        folder,
        "method.epochs=2",
        "method.warmup_epochs=1",
        "recipe.epochs=2",
        "budget.tolerance=100",
        "run_dir=run",
    )
    assert (folder / "run" / "result.json").exists()


def test_a_broken_card_is_one_line(folder: Path) -> None:
    path = folder / "my_cards" / "space" / "mine.yaml"
    path.write_text(path.read_text().replace("expand_ratio: 1}", "expand_rato: 1}"))
    done = subprocess.run(
        [sys.executable, "-m", "nas.inspect", "--config-dir", "my_cards", "space=mine"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert "stage 'early': inverted_residual has no field 'expand_rato'; did you mean expand_ratio?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_method_and_data_of_ones_own_search(folder: Path) -> None:
    (line,) = [line for line in COMMANDS if "data=stripes" in line]
    settings = ["search.trials=4", "search.epochs=1", "recipe.epochs=1", "recipe.warmup_epochs=0", "run_dir=run"]
    run(line, folder, *settings)
    found = json.loads((folder / "run" / "result.json").read_text())
    assert found["macs"] <= 600_000 and found["top1_percent"] is not None


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the page; what it registers is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(runtimes, "_OWN", {})
    before = dict(activations.ACTIVATIONS)
    yield importlib.import_module
    activations.ACTIVATIONS.clear()
    activations.ACTIVATIONS.update(before)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def test_an_activation(mine: Callable[[str], Any]) -> None:
    mine("my_activations")
    arch = Arch(8, ((ConvBNAct(4, 3, act="squared_relu"),), (Classifier(2),)), 1)
    assert Arch.from_json(arch.to_json()) == arch
    bent = [type(m).__name__ for m in build_network(arch).modules()]
    assert bent.count("SquaredReLU") == 1
    assert measure_arch_fresh_ms(arch, Device(runtime="torch")) > 0  # by a new process
    with pytest.raises(ValueError, match="there is an activation 'squared_relu' already"):
        activations.register_activation("squared_relu", torch.nn.ReLU)


def test_a_predictor(mine: Callable[[str], Any]) -> None:
    """It ranks what it has not seen better than chance: near candidates are alike."""
    rng = np.random.default_rng(0)
    population = rng.integers(0, 3, (200, 6))
    predictor = mine("my_predictors").Nearest(5).build(variables=())
    predictor.fit(population[:100], population[:100].sum(axis=1).astype(float))
    mean, std = predictor.predict(population[100:])
    assert kendall_tau(mean, population[100:].sum(axis=1)) > 0.4 and std.shape == (100,)


def test_a_runtime(mine: Callable[[str], Any]) -> None:
    """It measures here, and in the new process that measures what was found."""
    device = mine("my_runtimes").device()
    arch = Arch(8, ((ConvBNAct(4, 3),), (Classifier(2),)), 1)
    assert measure_arch_fresh_ms(arch, device) > 0
    with pytest.raises(ValueError, match="runtime exported does not measure dtype=int8"):
        runtimes.check_local(Device(runtime="exported", dtype="int8"))


def test_an_exporter(mine: Callable[[str], Any], tmp_path: Path) -> None:
    network = create_model(Arch(8, ((ConvBNAct(4, 3),), (Classifier(2),)), 1))
    report = export(network, tmp_path / "net.pt2", mine("my_formats").PT2)
    assert report["format"] == "pt2" and report["random"]["max_difference"] <= 1e-4
