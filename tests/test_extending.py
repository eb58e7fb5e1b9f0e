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
import yaml

from nas.data.card import DataSource
from nas.data.digits import digits
from nas.export.exporting import export
from nas.export.formats.onnx import FORMAT as ONNX
from nas.latency import runtimes
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.devices.ssh import SshDevice, _is_kit_of
from nas.latency.devices.table import TableDevice
from nas.latency.kits.of_space import import_kit, write_kit
from nas.latency.measuring.networks import measure_networks
from nas.latency.tables.reuse import make_room, usable
from nas.latency.tables.table import LatencyTable, table_path
from nas.methods.candidates.executors.local import LocalExecutor
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.networks.network import build_network
from nas.search.contest.entrants import Entrant
from nas.search.contest.holding import Terms, depends_on
from nas.train import training
from nas.train.accelerator import Compute
from predictors.metrics import kendall_tau
from search_spaces.arch import Arch, _statements, own_code
from search_spaces.blocks import KINDS, Classifier, ConvBNAct, activations
from search_spaces.families.fbnet import fbnet
from search_spaces.plain_data.identity import differences
from search_spaces.recipe import Recipe
from tests.latency.test_build import SMALL
from tests.latency.test_kit import measure
from tests.methods import gradient_task
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
    _check_code_is_known(tmp_path, space)
    arch = space.decode((0, 1))
    assert Arch.from_json(arch.to_json()) == arch and table.estimate_ms(arch) > 0
    report = export(create_model(arch), tmp_path / "net.onnx", ONNX)
    assert report["random"]["max_difference"] <= 1e-4


def test_the_code_of_a_block_kind_of_ones_own_belongs_to_what_was_trained_with_it(
    folder: Path,
    mine: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A checkpoint is not gone on from with other code, and a model folder says so where it is read; comments may
    change, and what is from before may go on."""
    space, data, recipe = cheap_space(folder, mine), digits(16), Recipe(epochs=1, batch_size=512, lr=0.01)
    arch, file, checkpoint = space.decode((0, 1)), folder / "my_blocks.py", tmp_path / "train.pt"
    as_it_was, code = file.read_text(), own_code(space.table_entries())

    def train() -> None:
        network = training.build_network(arch, recipe, seed=0)
        training.train(network, data, recipe, options=training.Options(checkpoint=checkpoint))

    train()
    contest = depends_on(TERMS, [Entrant("found-1", arch, recipe)])
    model = model_folder.write(tmp_path / "model", create_model(arch))
    edited(file, f"# a comment\n{as_it_was}")
    train()
    create_model(model)
    assert "other code" not in capsys.readouterr().out
    edited(file, as_it_was.replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    with pytest.raises(ValueError, match='train.pt belongs to something else: code is "my_blocks'):
        train()
    create_model(model)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("was written with other code of the blocks of your own (my_blocks") == 1
    assert len(differences(contest, depends_on(TERMS, [Entrant("found-1", arch, recipe)]))) == 1
    changed = own_code(arch.walk())
    assert code and changed.keys() == code.keys() and changed != code
    assert not differences({}, changed) and len(differences(code, changed)) == 1
    monkeypatch.setattr(type(arch.layers[1]), "__module__", "__main__")  # a script, which is edited to resume
    assert own_code(arch.walk()) == {} == own_code(fbnet(16, num_classes=10).table_entries())


def test_times_that_another_device_brought_know_the_code_of_ones_own_block_kind(
    folder: Path,
    mine: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A kit holds it and says its code; its table is used with other code too, which is said, whoever goes by it."""
    space, board, file = cheap_space(folder, mine), Device(name="board"), folder / "my_blocks.py"
    kit = write_kit(space, board, tmp_path / "kit", effort=SMALL)
    _, errors = (process := measure(kit)).communicate()
    assert process.returncode == 0, errors
    table = import_kit(kit, space)
    assert table.environment["code"] == own_code(space.table_entries())["code"]
    path = table.save(table_path(tmp_path, space, board))
    by_table = TableDevice(str(table.save(tmp_path / "board.json")))
    ssh, machine = SshDevice(name="board", host="nowhere"), dict(table.environment)
    del machine["code"]
    monkeypatch.setattr(SshDevice, "about", lambda self: machine)
    assert _is_kit_of(kit, space, board, SMALL, 0) and "code" not in ssh._elsewhere(table)
    assert usable(path, space, board, 0) is not None and by_table.table(space, tmp_path)
    assert "other code" not in capsys.readouterr().out
    edited(file, file.read_text().replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    assert usable(path, space, board, 0) is not None and by_table.table(space, tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("has the times of other code of the blocks of your own (my_blocks") == 2
    assert not _is_kit_of(kit, space, board, SMALL, 0) and 'code is "my_blocks' in ssh._elsewhere(table)


def edited(file: Path, text: str) -> None:
    """`file` with `text`, as a process that is begun now finds it."""
    file.write_text(text)
    _statements.cache_clear()


TERMS = Terms(DataSource(gradient_task.DATA), "data", 0.2, 0, Compute("cpu", "no"), LocalExecutor(workers=1), 2)


def _check_code_is_known(folder: Path, space: Any) -> None:
    """A table of `space` is of the code that its block kind had: other code is measured anew, beside it."""
    path, file = table_path(folder, space, Device()), folder / "my_blocks.py"
    as_it_was = file.read_text()
    edited(file, f"# a comment\n{as_it_was}")
    assert usable(path, space, Device(), SMALL.held_out_networks) is not None
    edited(file, as_it_was.replace("torch.cat([dense,", "torch.cat([self.bn2(self.cheap(dense)),"))
    assert 'code is "my_blocks' in LatencyTable.load(path).elsewhere
    assert usable(path, space, Device(), SMALL.held_out_networks) is None
    make_room(path, space, Device(), refresh=False)
    assert not path.exists() and list(folder.glob("*.kept-*"))
    edited(file, as_it_was)
    next(iter(folder.glob("*.kept-*"))).rename(path)
    data = json.loads(path.read_text())
    del data["environment"]["code"], data["digest"]
    path.write_text(json.dumps(data))
    assert LatencyTable.load(path, space, Device()).is_of_this_machine  # a table from before it was kept


def cheap_space(folder: Path, mine: Callable[[str], Any]) -> Any:
    """The page's space with a block kind of one's own, for grey images of 16 pixels."""
    card = yaml.safe_load((folder / "my_cards" / "space" / "cheap.yaml").read_text())
    fields = {key: value for key, value in card.items() if key != "_target_"}
    return mine("my_blocks").from_card(**fields | {"resolution": 16, "num_classes": 10, "in_channels": 1})


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the page; what it registers is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(runtimes, "_OWN", {})
    registries: list[dict[str, Any]] = [activations.ACTIVATIONS, KINDS]
    before = [dict(registry) for registry in registries]
    yield importlib.import_module
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


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
