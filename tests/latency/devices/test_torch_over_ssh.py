"""A board measured under another runtime than ONNX Runtime: torch, which is given modules that the board builds."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import torch

from nas.latency.device import Device
from nas.latency.devices.ssh import SshDevice
from nas.latency.effort import Effort
from nas.latency.kits.of_space import import_kit, write_kit
from nas.latency.kits.sources import needed
from nas.latency.runtimes import NAMES
from search_spaces.blocks import Classifier, ConvBNAct
from search_spaces.space import LayerwiseSpace

from .board import Board
from .kinds import reached, tiny

LEAST = Effort(fit_networks=2, held_out_networks=2, rounds=2, network_rounds=2, visit_ms=0.1, network_visit_ms=0.1)


def with_torch(board: Board, folder: Path) -> SshDevice:
    """The board, with an interpreter that has all of our packages and none of our own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    ours = str(Path(torch.__file__).parents[1])  # on the path alone: links to editable installations in it are not read
    (site / "packages.pth").write_text(ours + "\n")
    return reached(board, python=str(folder / "bin" / "python"), runtime="torch")


@pytest.mark.slow
def test_a_table_and_networks_under_torch(board: Board, tmp_path: Path) -> None:
    """Our sources go there in the kit; what it has installed of ours, if anything, is not what measures."""
    device = with_torch(board, tmp_path / "torch")
    table = device.table(tiny(), tmp_path / "tables", effort=LEAST)
    assert table.device == Device("board", runtime="torch") and table.environment["torch"] == metadata.version("torch")
    assert device.table(tiny(), tmp_path / "tables", effort=LEAST) == table  # it is its own, and is used as it is
    small, large = device.measure([tiny().decode([1]), tiny().decode([0])], table)
    assert large.latency_ms > small.latency_ms > 0
    assert device.not_measured(table) is None and table.fell_back is None  # torch has nothing to fall back to
    with pytest.raises(ValueError, match='torch is "1.0", asked is .*measure it anew'):
        device.not_measured(dataclasses.replace(table, environment={**table.environment, "torch": "1.0"}))


def test_what_the_board_lacks_is_one_line_with_what_installs_it(board: Board, tmp_path: Path) -> None:
    device = reached(board, runtime="torch")
    with pytest.raises(
        ValueError, match="has no torch and no timm; install it there: ssh .* -m pip install torch timm"
    ) as no:
        device.table(tiny(), tmp_path)
    assert "\n" not in str(no.value) and "pip install numpy torch timm, and give it" in str(no.value)
    assert not list(tmp_path.iterdir())
    states = {what: (state, note) for what, state, _, note in device.findings()}
    assert states["numpy there"] == ("ok", "") and states["torch there"][0] == states["timm there"][0] == "bad"
    assert "pip install torch" in states["torch there"][1]


@pytest.mark.parametrize("runtime", NAMES)
def test_every_runtime_says_what_it_needs_there(runtime: str) -> None:
    packages = [package.module for package in needed(runtime)]
    assert packages[0] == "numpy" and len(set(packages)) == len(packages)
    assert ("torch" in packages) == (runtime != "onnxruntime")
    assert set(packages) >= {"openvino": {"onnx", "openvino"}, "litert": {"ai_edge_litert"}}.get(runtime, set())
    eight = {"litert": {"ai_edge_quantizer"}, "executorch": {"torchao"}}.get(runtime, set())
    assert {package.module for package in needed(runtime, "int8")} == {*packages, *eight}


def test_an_unknown_runtime_is_said_before_anything_is_reached(board: Board, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown runtime 'tflite'; one of "):
        reached(board, runtime="tflite", port=1).table(tiny(), tmp_path)


def test_a_kit_of_modules_holds_sources_and_no_graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same kit has the same id; it says what it needs, and another edition of our sources is another kit."""
    device = Device("phone", runtime="torch")
    kits = [write_kit(tiny(), device, tmp_path / name, effort=LEAST) for name in ("one", "two")]
    found = [json.loads((kit / "kit.json").read_text()) for kit in kits]
    assert found[0] == found[1] and (kits[0] / "sources.zip").read_bytes() == (kits[1] / "sources.zip").read_bytes()
    assert not list(kits[0].rglob("*.onnx")) and "pip install numpy torch timm" in (kits[0] / "README.md").read_text()
    with zipfile.ZipFile(kits[0] / "sources.zip") as archive:
        names = archive.namelist()
    assert {"nas/latency/runtimes/torch.py", "search_spaces/arch.py"} <= set(names)
    assert all(name.endswith(".py") and name.startswith(("nas/", "search_spaces/")) for name in names)
    with pytest.raises(ValueError, match="no results.json yet"):
        import_kit(kits[0])
    monkeypatch.setattr("nas.latency.kits.files.write_sources", lambda path: path.write_bytes(b"another edition"))
    other = write_kit(tiny(), device, tmp_path / "three", effort=LEAST)
    assert json.loads((other / "kit.json").read_text())["id"] != found[0]["id"]


def test_a_block_kind_of_ones_own_is_not_there(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Own(ConvBNAct):
        pass

    slots = [[[Own(4, 3, stride=2)]], [[ConvBNAct(8, 1), ConvBNAct(8, 3)]], [[Classifier(3)]]]
    space = LayerwiseSpace("own", 8, slots, 1)
    with pytest.raises(ValueError, match="defines a block kind of your own, which a kit of torch modules cannot carry"):
        write_kit(space, Device("phone", runtime="torch"), tmp_path / "kit", effort=LEAST)
    assert not list(tmp_path.iterdir())
