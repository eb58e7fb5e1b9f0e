"""The folder of a kit: ONNX graphs of blocks and whole networks, one script that measures them, and what it leaves.

`measure.py` needs only Python, numpy and onnxruntime. Run on the target it leaves `results.json`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.graphs.weightless import without_weights
from nas.latency.kits.one_program import one_program
from nas.latency.measuring import journal, kit_script, timing
from nas.latency.measuring import visits as visiting
from nas.latency.measuring.elasticity import elasticities
from nas.latency.measuring.journal import seal
from nas.latency.measuring.kit_script import groups
from nas.latency.measuring.ladder import ladder
from nas.latency.measuring.processes import sampling
from nas.latency.measuring.processes.bench import network_entry, row_entry
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements
from nas.latency.measuring.visits import LEAST_VISITS, Visit, Visits, visit_of
from nas.latency.runtimes.onnxruntime import onnx_model
from nas.latency.tables import fields
from nas.latency.tables.origin import LOCAL
from nas.latency.tables.table import row_key
from nas.networks.network import build_network
from nas.runs import machine
from nas.runs.files import read_json, write_json
from nas.terminal.progress import phase
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape

FORMAT = "nas.latency_kit"
VERSION = 3
SUBJECT = "networks"  # of a kit of found networks, where another has its space's name
READ = (2, VERSION)
ONLY_REFERENCE = "6m"  # of kits of version 2
LEAST_ROUNDS_2 = 6  # that a limit on time left to their networks
SCRIPT = (machine, timing, visiting, journal, sampling, kit_script)  # each uses those before it alone

README = """# Latency kit

Needs Python, numpy and onnxruntime; nothing else. On the device, in this folder:

    pip install numpy onnxruntime
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
    same id. Raises `ValueError` for a runtime other than onnxruntime, a device that has no name of its own, and for a
    folder that exists.
    """
    folder, device = Path(folder), contents.device
    check_name(device)
    if device.runtime != "onnxruntime":
        raise ValueError(f"a kit runs under onnxruntime, not under {device.runtime!r}; set device.runtime=onnxruntime")
    if folder.exists():
        raise ValueError(f"{folder} exists; name a new folder for the kit")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        kit = _write_graphs(contents, partial)
        kit["id"] = seal(kit, "id")
        write_json(partial / "kit.json", kit)
        (partial / "measure.py").write_text(measure_script())
        (partial / "README.md").write_text(README.format(command=command))
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return folder


def _write_graphs(contents: Contents, folder: Path) -> dict[str, Any]:
    """All graphs, into `folder`; what `kit.json` says of them."""
    device = contents.device
    for sub in ("blocks", "networks"):
        (folder / sub).mkdir()
    graphs = len(contents.rows) + len(contents.networks)
    with torch.random.fork_rng(devices=[]), phase("writing graphs", graphs, "graph") as advance:
        torch.manual_seed(contents.seed)  # of what weights are kept, so that the same kit has the same id

        def write(file: str, module: nn.Module, shape: Shape, entry: Mapping[str, Any]) -> dict[str, Any]:
            batch = (device.batch_size, *shape)
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
            **contents.more,
        }


def measure_script() -> str:
    """The source of `measure.py`."""
    return one_program(SCRIPT, "Measures the kit in this folder; its README.md says how.")


@dataclass(frozen=True)
class Results:
    """What was measured of a `kit` (its `kit.json`): the device, where and with what, and all visits."""

    kit: Mapping[str, Any]
    device: Device
    environment: dict[str, Any]
    visits: Visits

    def networks(self) -> list[tuple[Arch, str, str]]:
        """Its networks in their order: arch, key of its visits, role."""
        return [(Arch.from_dict(net["arch"]), net["key"], net["role"]) for net in self.kit["networks"]]

    @property
    def rungs(self) -> dict[str, str]:
        """Which reference stood beside each workload."""
        return {e["key"]: e.get("rung", ONLY_REFERENCE) for e in [*self.kit["rows"], *self.kit["networks"]]}

    def calm_speed(self) -> dict[str, float]:
        """The references' calm times, as they were seen meanwhile."""
        return calm_speed(self.visits, self.rungs)

    def elasticities(self) -> dict[str, float]:
        """How much the workloads felt of what slowed the references beside them."""
        return elasticities(self.visits, self.rungs)

    def times(self, at: Conditions) -> dict[str, Measurement]:
        """The time of every workload at the calm speed of its reference."""
        rungs = self.rungs
        at.check(set(rungs.values()))
        return measurements(self.visits, rungs, at)


def read_results(folder: str | Path) -> Results:
    """The results in the kit `folder`.

    Raises `ValueError` where the kit or its results are missing, unfinished, damaged, of another kit, unit or version.
    """
    folder = Path(folder)
    kit = _checked(folder / "kit.json", "latency kit", FORMAT, "id")
    if not (folder / "results.json").exists():
        begun = " (it was begun there)" if (folder / "results.jsonl").exists() else ""
        raise ValueError(f"the kit {folder} has no results.json yet{begun}; run python measure.py in it on the device")
    results = _checked(folder / "results.json", "result file of a latency kit", f"{FORMAT}_results", "digest")
    with naming(folder):
        if results["kit"] != kit["id"] or results["version"] != kit["version"]:
            raise ValueError(f"results.json is of kit {results['kit']!r}, this is kit {kit['id']}")
        if results["unit"] != "ms":
            raise ValueError(f"results.json is in {results['unit']!r}, expected 'ms'")
        device = Device.from_dict(kit["device"])
        if Device.from_dict(results["device"]) != device:
            raise ValueError(f"results.json is of device {results['device']}, the kit is for {kit['device']}")
        check_name(device)
        visits = _visits(kit, results["visits"])
        return Results(kit, device, fields.environment(results["environment"]), visits)


@contextmanager
def naming(folder: Path) -> Iterator[None]:
    """Errors inside name the kit `folder`; a lack of what it must hold is a `ValueError`."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the kit {folder} is incomplete: {error!r}") from None
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def check_name(device: Device) -> None:
    if device.name == LOCAL:
        raise ValueError(
            "a kit is measured elsewhere, and `local` is the machine we run on: name its device, device.name=phone"
        )


def _checked(path: Path, what: str, form: str, key: str) -> dict[str, Any]:
    """The file `path`, which carries the digest of the rest of it as `key`."""
    data = read_json(path, what)
    if not isinstance(data, dict) or data.get("format") != form:
        raise ValueError(f"{path} is not a {what}")
    if data.get("version") not in READ:
        raise ValueError(f"{path} has version {data.get('version')!r}, this release reads {VERSION}; write a new kit")
    if data.get(key) != seal(data, key):
        raise ValueError(f"{what} {path} is damaged (its digest differs); copy it from the device again")
    return data


def _visits(kit: dict[str, Any], made: dict[str, Any]) -> Visits:
    """The visits of every workload of the kit. Raises `ValueError` naming the first that lacks or has odd ones."""
    visits: Visits = {}
    old = kit["version"] != VERSION
    for name in ("rounds", "network_rounds"):
        fields.whole(kit["effort"][name], f"effort.{name}", 2)
    for what, group in groups(kit["rows"], kit["networks"], kit["effort"]).items():
        most = group.rounds if old else group.processes * group.visits_each
        least = LEAST_ROUNDS_2 if old else group.processes * LEAST_VISITS
        least = min(most, least) if what == "networks" else most  # large networks may get fewer visits
        for entry in group.entries:
            turns = made.get(entry["key"], [])
            if not least <= len(turns) <= most:
                raise ValueError(f"{entry['file']} was timed {len(turns)} times instead of {most}; measure again")
            found = [_visit_2(turn) if old else visit_of(turn) for turn in turns]
            for turn, visit in zip(turns, found, strict=True):
                if visit is None:
                    raise ValueError(f"{entry['file']} has the visit {turn!r}, not a time in ms; measure again")
            visits[entry["key"]] = {i: visit for i, visit in enumerate(found) if visit is not None}
    return visits


def _visit_2(turn: Any) -> Visit | None:
    """A visit of a kit of version 2: time, reference's time, calls. One process made all, beside one reference."""
    return visit_of([*turn, 0, turn[0]]) if isinstance(turn, list) and len(turn) == 3 else None
