"""The folder of a kit: ONNX graphs of blocks and whole networks, one script that measures them, and what it leaves.

`measure.py` needs only Python, numpy and onnxruntime. Run on the target it leaves `results.json`. Under another runtime
a kit holds no graphs but our sources: what it measures is built there, and that takes torch and timm besides.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.latency import onnx_placement, placement
from nas.latency.device import KIT_RUNTIME, Device
from nas.latency.effort import Effort
from nas.latency.graphs.weightless import without_weights
from nas.latency.kits.one_program import one_program
from nas.latency.kits.sources import modules_there, needed, write_sources
from nas.latency.measuring import journal, kit_script, timing
from nas.latency.measuring import visits as visiting
from nas.latency.measuring.journal import seal
from nas.latency.measuring.kit_script import SOURCES
from nas.latency.measuring.ladder import ladder
from nas.latency.measuring.processes import ended, sampling
from nas.latency.measuring.processes.bench import network_entry, row_entry
from nas.latency.runtimes import check_offered
from nas.latency.runtimes.onnxruntime import onnx_model
from nas.latency.tables.origin import LOCAL
from nas.latency.tables.table import row_key
from nas.networks.network import build_network
from nas.runs import machine
from nas.runs.files import write_json
from nas.terminal.progress import phase
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape

FORMAT = "nas.latency_kit"
VERSION = 3
SUBJECT = "networks"  # of a kit of found networks, where another has its space's name
SCRIPT = (
    machine,
    timing,
    visiting,
    journal,
    ended,
    sampling,
    placement,
    onnx_placement,
    kit_script,
)  # each uses those before it alone

README = """# Latency kit

Needs Python, {packages}; nothing else. On the device, in this folder:

    pip install {install}
    python measure.py

It can be stopped and started again at any time and ends by writing `results.json`. Bring the folder (or only that file,
into this folder) back and run

    {command}

For figures that hold, leave the device alone meanwhile and let it run at its usual clock.
"""


@dataclass(frozen=True)
class Contents:
    """What a kit holds: of `subject` (a space's name, or what its networks are), the layers at their input shapes and
    the networks with their roles (`fit` and `held_out` of a table, `found`), visited by `effort` in an order of `seed`.

    `more`: further entries of its `kit.json`.
    """

    subject: str
    device: Device
    effort: Effort
    seed: int
    rows: Sequence[tuple[Layer, Shape]]
    networks: Sequence[tuple[Arch, str]]
    more: Mapping[str, Any]


def write_folder(contents: Contents, folder: str | Path, command: str) -> Path:
    """Write `contents` to the new folder `folder`; it appears whole or not at all. `command` imports the results.

    Graphs carry no large weights: each is a constant that the runtime fills in before it optimises, which changes
    neither what is executed nor how long it takes. The kit's id is a digest of all it holds; the same contents have the
    same id. Raises `ValueError` for a runtime that is none of ours or has no such arithmetic, a device that has no name
    of its own, and for a folder that exists.
    """
    folder, device = Path(folder), contents.device
    check_name(device)
    check_offered(device)
    if folder.exists():
        raise ValueError(f"{folder} exists; name a new folder for the kit")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        kit = _write_graphs(contents, partial)
        kit["id"] = seal(kit, "id")
        write_json(partial / "kit.json", kit)
        (partial / "measure.py").write_text(measure_script())
        (partial / "README.md").write_text(_readme(device, command))
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return folder


def _readme(device: Device, command: str) -> str:
    packages = needed(device.runtime, device.dtype)
    names = [package.pip for package in packages]
    install = " ".join(package.requirement for package in packages)
    return README.format(packages=f"{', '.join(names[:-1])} and {names[-1]}", install=install, command=command)


def _write_graphs(contents: Contents, folder: Path) -> dict[str, Any]:
    """All graphs, or our sources, into `folder`; what `kit.json` says of them."""
    device = contents.device
    takes_graphs, more = device.runtime == KIT_RUNTIME, dict(contents.more)
    if takes_graphs:
        for sub in ("blocks", "networks"):
            (folder / sub).mkdir()
    else:
        layers, archs = (layer for layer, _ in contents.rows), (arch for arch, _ in contents.networks)
        more["modules"] = modules_there(layers, archs)
        write_sources(folder / SOURCES)
        more["sources"] = hashlib.sha256((folder / SOURCES).read_bytes()).hexdigest()
    graphs = len(contents.rows) + len(contents.networks)
    with torch.random.fork_rng(devices=[]), phase("writing graphs", graphs, "graph") as advance:
        torch.manual_seed(contents.seed)  # of what weights are kept, so that the same kit has the same id

        def write(file: str, module: nn.Module, shape: Shape, entry: Mapping[str, Any]) -> dict[str, Any]:
            batch = (device.batch_size, *shape)
            if not takes_graphs:
                return {**entry, "shape": list(batch)}
            graph = without_weights(onnx_model(module, batch, device.dtype)).SerializeToString()
            (folder / file).write_bytes(graph)
            return {**entry, "file": file, "sha256": hashlib.sha256(graph).hexdigest(), "shape": list(batch)}

        def network(name: str, arch: Arch, key: str, **more: Any) -> dict[str, Any]:
            entry = {**network_entry(key, arch), **more}
            return write(f"networks/{name}.onnx", build_network(arch), arch.input_shape, entry)

        rows, networks = [], []
        for i, (layer, shape) in enumerate(contents.rows):
            entry = row_entry("row:" + row_key(layer, shape), layer, shape)
            rows.append(write(f"blocks/{i:04}.onnx", layer.build(shape), shape, entry))
            advance()
        for arch, role in contents.networks:
            networks.append(network(arch.id, arch, f"net:{arch.id}", role=role))
            advance()
        references = {
            rung: network(f"reference-{rung}", arch, f"reference:{rung}")
            for rung, arch in ladder().items()
            if rung in {entry["rung"] for entry in [*rows, *networks]}
        }
        return {
            "format": FORMAT,
            "version": VERSION,
            "space": contents.subject,
            "device": device.to_dict(),
            "seed": contents.seed,
            "effort": asdict(contents.effort),
            "references": references,
            "rows": rows,
            "networks": networks,
            **more,
        }


def measure_script() -> str:
    """The source of `measure.py`."""
    return one_program(SCRIPT, "Measures the kit in this folder; its README.md says how.")


def check_name(device: Device) -> None:
    if device.name == LOCAL:
        raise ValueError(
            "a kit is measured elsewhere, and `local` is the machine we run on: name its device, device.name=phone"
        )
