"""docs/extending.md, literally: its files are written, its commands run."""

from __future__ import annotations

import json
import os
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
from nas.export.formats.onnx import FORMAT as ONNX
from nas.latency import runtimes
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.measuring.networks import measure_networks
from nas.networks.creation import create_model
from nas.networks.network import build_network
from predictors.metrics import kendall_tau
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, activations
from tests.extending.cheap import cheap_space
from tests.extending.test_own_code import check_code_is_known
from tests.latency.test_build import SMALL
from tests.methods import gradient_task
from tests.test_docs import ROOT, shell_lines

PAGE = "docs/extending.md"
COMMANDS = [line for line in shell_lines(PAGE) if line.startswith("python -m nas.")]


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
    found = [line.split()[2] for line in COMMANDS]
    assert found == [*["nas.new"] * 4, *["nas.inspect", "nas.search"] * 2, *["nas.search"] * 2]


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


def test_a_method_a_block_kind_and_data_of_ones_own_search(folder: Path) -> None:
    """Candidates train in processes of their own, which learn of the kind."""
    (line,) = [line for line in COMMANDS if "data=stripes" in line]
    settings = ["search.trials=2", "search.epochs=1", "recipe.epochs=1", "recipe.warmup_epochs=0", "run_dir=run"]
    settings += ["references.names=[]"]
    run(line, folder, *settings)
    found = json.loads((folder / "run" / "result.json").read_text())
    assert found["macs"] <= 60_000 and found["budget_met"] and found["top1_percent"] is not None


def test_a_block_kind_of_ones_own_is_searched_by_a_supernet(
    folder: Path, mine: Callable[[str], Any], tmp_path: Path
) -> None:
    space = cheap_space(folder, mine)
    problem, records = gradient_task.task(tmp_path, space, 0.5)
    result = gradient_task.method("dnas").search(problem)
    assert records and result.inherit is not None
    network = result.inherit(space.sample(1, np.random.default_rng(0))[0])
    assert network(torch.zeros(2, 1, 16, 16)).shape == (2, 10)


def test_a_block_kind_of_ones_own_is_priced_and_exported(
    folder: Path, mine: Callable[[str], Any], tmp_path: Path
) -> None:
    """Its rows are measured and estimate networks; a kit holds it; its ONNX file computes what torch does."""
    space = cheap_space(folder, mine)
    table = build_table(space, Device(), tmp_path, effort=SMALL)
    mine_too = [row for row in table.rows_ if row.layer.kind == "half_cheap"]
    assert len(mine_too) == 4 and all(row.ms > 0 for row in mine_too)  # two kernels, strided and not
    named = ["device=table", f"device.file={table.save(tmp_path / 'table.json')}", "space.resolution=16"]
    settings = ["space.num_classes=10", "space.in_channels=1"]
    said = run("python -m nas.inspect --config-dir my_cards space=cheap", folder, *named, *settings)
    assert "latency_ms" in said  # the space's module was imported before the file was read
    check_code_is_known(tmp_path, space)
    arch = space.decode((0, 1))
    assert Arch.from_json(arch.to_json()) == arch and table.estimate_ms(arch) > 0
    report = export(create_model(arch), tmp_path / "net.onnx", ONNX)
    assert report["random"]["max_difference"] <= 1e-4


def test_an_activation_and_a_runtime(mine: Callable[[str], Any], two_processes: None) -> None:
    """Both are also there in the new process that measures what was found."""
    mine("my_activations")
    device = mine("my_runtimes").device()
    arch = Arch(8, ((ConvBNAct(4, 3, act="squared_relu"),), (Classifier(2),)), 1)
    assert Arch.from_json(arch.to_json()) == arch
    bent = [type(m).__name__ for m in build_network(arch).modules()]
    assert bent.count("SquaredReLU") == 1
    assert measure_networks([arch], device)[0].latency_ms > 0
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


def test_a_runtime_says_what_it_does_not_measure(mine: Callable[[str], Any]) -> None:
    mine("my_runtimes")
    with pytest.raises(ValueError, match="runtime exported does not measure dtype=int8"):
        runtimes.check_local(Device(runtime="exported", dtype="int8"))


def test_an_exporter(mine: Callable[[str], Any], tmp_path: Path) -> None:
    network = create_model(Arch(8, ((ConvBNAct(4, 3),), (Classifier(2),)), 1))
    report = export(network, tmp_path / "net.pt2", mine("my_formats").PT2)
    assert report["format"] == "pt2" and report["random"]["max_difference"] <= 1e-4
