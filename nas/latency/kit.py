"""Kits: measuring on a device that has no torch.

A kit is a folder with ONNX graphs of a space's blocks and of whole networks, and one script, `measure.py`, that needs
only Python, numpy and onnxruntime. Run on the target it leaves `results.json`, which `import_kit` turns into a table.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from nas.latency.assemble import assemble
from nas.latency.build import draw_networks, shuffled
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.measuring import journal, kit_script, timing
from nas.latency.measuring import visits as visiting
from nas.latency.measuring.journal import seal
from nas.latency.measuring.measure import REFERENCE, measurements
from nas.latency.measuring.visits import LEAST_ROUNDS, Visits, usual_reference_ms, visit_of
from nas.latency.one_program import one_program
from nas.latency.runtimes.onnxruntime import onnx_model
from nas.latency.tables import fields
from nas.latency.tables.origin import LOCAL
from nas.latency.tables.table import LatencyTable, all_entries, entries, row_key
from nas.networks.network import build_network
from nas.runs import machine
from nas.runs.files import read_json, write_json
from nas.terminal.progress import phase
from search_spaces.arch import Arch
from search_spaces.blocks import layer_from_dict
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace

FORMAT = "nas.latency_kit"
VERSION = 2
SCRIPT = (machine, timing, visiting, journal, kit_script)  # each uses those before it alone
KEEP_ELEMENTS = 512  # weights up to this size stay in the files

README = """# Latency kit

Needs Python, numpy and onnxruntime; nothing else. On the device, in this folder:

    pip install numpy onnxruntime
    python measure.py

It can be stopped and started again at any time and ends by writing `results.json`. Bring the folder (or only that file,
into this folder) back and run

    python -m nas.latency {space} action=import kit=<this folder>

For figures that hold, leave the device alone meanwhile and let it run at its usual clock.
"""


def write_kit(space: SearchSpace, device: Device, folder: str | Path, *, seed: int = 0, effort: Effort | None = None,
              command: str = "space=...") -> Path:  # fmt: skip
    """Write the kit of `space` for `device` to the new folder `folder`; it appears whole or not at all.

    Graphs carry no large weights: each is a constant that the runtime fills in before it optimises, which changes
    neither what is executed nor how long it takes. The kit's id is a digest of all it holds. Raises `ValueError` for a
    runtime other than onnxruntime, a device that has no name of its own, and for a folder that exists.
    """
    _check_name(device)
    if device.runtime != "onnxruntime":
        raise ValueError(f"a kit runs under onnxruntime, not under {device.runtime!r}; set device.runtime=onnxruntime")
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder} exists; name a new folder for the kit")
    folder.parent.mkdir(parents=True, exist_ok=True)
    effort = effort or Effort()
    fit, held_out = draw_networks(space, effort, seed)
    rows = entries(space)
    others = len(all_entries(space)) - len(rows)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for sub in ("blocks", "networks"):
            (partial / sub).mkdir()
        graphs = 1 + len(rows) + len(fit) + len(held_out)
        with torch.random.fork_rng(devices=[]), phase("writing graphs", graphs, "graph") as advance:
            torch.manual_seed(seed)  # of what weights are kept, so that the same kit has the same id

            def write(file: str, module: nn.Module, shape: Shape, **more: Any) -> dict[str, Any]:
                batch = (device.batch_size, *shape)
                graph = _without_weights(onnx_model(module, batch, device.dtype)).SerializeToString()
                (partial / file).write_bytes(graph)
                advance()
                return {"file": file, "sha256": hashlib.sha256(graph).hexdigest(), "shape": list(batch), **more}

            kit: dict[str, Any] = {
                "format": FORMAT,
                "version": VERSION,
                "space": space.name,
                "device": device.to_dict(),
                "seed": seed,
                "effort": asdict(effort),
                "reference": write("reference.onnx", build_network(REFERENCE), REFERENCE.input_shape),
                "rows": [
                    write(
                        f"blocks/{i:04}.onnx",
                        layer.build(shape),
                        shape,
                        key="row:" + row_key(layer, shape),
                        params=layer.cost(shape).params,
                        layer=layer.to_dict(),
                    )
                    for i, (layer, shape) in enumerate(rows)
                ],
                "networks": [
                    write(
                        f"networks/{arch.id}.onnx",
                        build_network(arch),
                        arch.input_shape,
                        key=f"net:{arch.id}",
                        params=arch.params,
                        role="fit" if arch in fit else "held_out",
                        arch=arch.to_dict(),
                    )
                    for arch in shuffled(fit + held_out, seed)
                ],
            }
            if others:
                kit["interpolated"] = others
        kit["id"] = seal(kit, "id")
        write_json(partial / "kit.json", kit)
        (partial / "measure.py").write_text(measure_script())
        (partial / "README.md").write_text(README.format(space=command))
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o777 & ~mask)
        partial.rename(folder)
    finally:
        if partial.exists():
            shutil.rmtree(partial)
    return folder


def measure_script() -> str:
    """The source of `measure.py`."""
    return one_program(SCRIPT, "Measures the kit in this folder; its README.md says how.")


def import_kit(folder: str | Path, space: SearchSpace | None = None) -> LatencyTable:
    """The table that the results in the kit `folder` give, calibrated and proven like a direct build.

    Raises `ValueError` where the kit or its results are missing, unfinished, damaged, of another kit, unit or version,
    or of another space than `space`.
    """
    folder = Path(folder)
    kit = _checked(folder / "kit.json", "latency kit", FORMAT, "id")
    if not (folder / "results.json").exists():
        begun = " (it was begun there)" if (folder / "results.jsonl").exists() else ""
        raise ValueError(f"the kit {folder} has no results.json yet{begun}; run python measure.py in it on the device")
    results = _checked(folder / "results.json", "result file of a latency kit", f"{FORMAT}_results", "digest")
    try:
        if results["kit"] != kit["id"]:
            raise ValueError(f"results.json is of kit {results['kit']!r}, this is kit {kit['id']}")
        if results["unit"] != "ms":
            raise ValueError(f"results.json is in {results['unit']!r}, expected 'ms'")
        device = Device.from_dict(kit["device"])
        if Device.from_dict(results["device"]) != device:
            raise ValueError(f"results.json is of device {results['device']}, the kit is for {kit['device']}")
        _check_name(device)
        visits = _visits(kit, results["visits"])
        rows = {(layer_from_dict(row["layer"]), Shape(*row["shape"][1:])): row["key"] for row in kit["rows"]}
        networks = [(Arch.from_dict(net["arch"]), net["key"], net["role"] == "fit") for net in kit["networks"]]
        environment = fields.environment(results["environment"])
        name = fields.name(kit["space"], "space")
        others = fields.whole(kit.get("interpolated", 0), "interpolated")
        if not rows or not networks:
            raise ValueError("it lists no rows or no networks; write a new kit")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the kit {folder} is incomplete: {error!r}") from None
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    times = measurements({key: turns for key, turns in visits.items() if key.startswith("row:")})
    nets = {key: turns for key, turns in visits.items() if key.startswith("net:")}
    times |= measurements(nets)
    table = assemble(
        name,
        device,
        {row: times[key] for row, key in rows.items()},
        [(arch, times[key], fit) for arch, key, fit in networks],
        {**environment, "kit": kit["id"], "reference_ms": usual_reference_ms(nets)},
        others,
    )
    if space is not None:
        table.check(space)
    return table


def _check_name(device: Device) -> None:
    if device.name == LOCAL:
        raise ValueError(
            "a kit is measured elsewhere, and `local` is the machine we run on: name its device, device.name=phone"
        )


def _checked(path: Path, what: str, form: str, key: str) -> dict[str, Any]:
    """The file `path`, which carries the digest of the rest of it as `key`."""
    data = read_json(path, what)
    if not isinstance(data, dict) or data.get("format") != form:
        raise ValueError(f"{path} is not a {what}")
    if data.get("version") != VERSION:
        raise ValueError(f"{path} has version {data.get('version')!r}, this release reads {VERSION}; write a new kit")
    if data.get(key) != seal(data, key):
        raise ValueError(f"{what} {path} is damaged (its digest differs); copy it from the device again")
    return data


def _visits(kit: dict[str, Any], made: dict[str, Any]) -> Visits:
    """The visits of every workload of the kit. Raises `ValueError` naming the first that lacks or has odd ones."""
    visits: Visits = {}
    for group, rounds in (("rows", "rounds"), ("networks", "network_rounds")):
        asked = fields.whole(kit["effort"][rounds], f"effort.{rounds}", 2)
        for entry in kit[group]:
            turns = made.get(entry["key"], [])
            least = asked if group == "rows" else min(asked, LEAST_ROUNDS)  # large networks may get fewer rounds
            if not least <= len(turns) <= asked:
                raise ValueError(f"{entry['file']} was timed {len(turns)} times instead of {asked}; measure again")
            found = [visit_of(turn) for turn in turns]
            for turn, visit in zip(turns, found, strict=True):
                if visit is None:
                    raise ValueError(f"{entry['file']} has the visit {turn!r}, not a time in ms; measure again")
            visits[entry["key"]] = {i: visit for i, visit in enumerate(found) if visit is not None}
    return visits


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with each large float weight made a `ConstantOfShape(1 / fan-in)`, which keeps activations finite."""
    kept, fillers = [], []
    for weight in model.graph.initializer:
        size = math.prod(weight.dims)
        if size <= KEEP_ELEMENTS or weight.data_type != TensorProto.FLOAT:
            kept.append(weight)
            continue
        shape = f"{weight.name}_shape"
        kept.append(numpy_helper.from_array(np.array(weight.dims, dtype=np.int64), shape))
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [weight.dims[0] / size])
        fillers.append(helper.make_node("ConstantOfShape", [shape], [weight.name], value=value))
    graph = helper.make_graph(
        [*fillers, *model.graph.node], model.graph.name, model.graph.input, model.graph.output, kept
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
