"""Workloads laid out for processes of this machine that measure them."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nas.latency.device import Device, pinned
from nas.latency.measuring.kit_script import SAMPLE
from nas.latency.measuring.ladder import ladder, numbers_of, numbers_of_row, rung_of
from nas.latency.measuring.processes.module_script import FORKS
from nas.latency.measuring.processes.sampling import Record, Request, Told, ask
from nas.latency.runtimes import check_local, runtime_named
from nas.networks.network import build_network
from nas.terminal.thread_waits import as_deployed
from search_spaces.arch import Arch, modules_of
from search_spaces.blocks import Layer
from search_spaces.costs import Shape

Entry = dict[str, Any]
GRAPHS = "onnxruntime"  # whose processes need no torch, and start in a third of a second


def row_entry(key: str, layer: Layer, shape: Shape) -> Entry:
    """How a table's row is named to a process."""
    params, rung = layer.cost(shape).params, rung_of(numbers_of_row(layer, shape))
    return {"key": key, "params": params, "rung": rung, "layer": layer.to_dict(), "shape": list(shape)}


def network_entry(key: str, arch: Arch) -> Entry:
    """How a whole network is named to a process."""
    return {"key": key, "params": arch.params, "rung": rung_of(numbers_of(arch)), "arch": arch.to_dict()}


@dataclass
class Bench:
    """Starts the processes that measure for `device`: `run(requests, record)`.

    Under ONNX Runtime entries are graphs in `folder`, and each process is that of a kit; otherwise modules, built by a
    process that forks those that measure. `prepare` completes entries for either. `command`: another program that
    answers, and is told `folder` last; `under`: what its workloads run under, where that is not the device's runtime.
    """

    device: Device
    folder: Path
    modules: set[str] = field(default_factory=set)
    command: Sequence[str] = ()
    under: str = ""

    @property
    def takes_graphs(self) -> bool:
        return self.device.runtime == GRAPHS and self.device.python is None

    def prepare(self, entry: Entry, build: Callable[[], nn.Module], shape: Shape) -> Entry:
        """`entry` as a process of this bench takes it; `build()` gives its module, for inputs of `shape`."""
        if not self.takes_graphs:
            return entry
        from nas.latency.graphs.weightless import without_weights
        from nas.latency.runtimes.onnxruntime import onnx_model

        batch = (self.device.batch_size, *shape)
        model = without_weights(onnx_model(build(), batch, self.device.dtype))
        return self.graph(entry, model.SerializeToString(), batch)

    def graph(self, entry: Entry, model: bytes, batch: Sequence[int]) -> Entry:
        """`entry` with its ONNX `model`, whose input has the shape `batch`."""
        digest = hashlib.sha256(model).hexdigest()
        (self.folder / f"{digest}.onnx").write_bytes(model)
        rest = {name: value for name, value in entry.items() if name not in ("layer", "arch", "shape")}
        return {**rest, "file": f"{digest}.onnx", "sha256": digest, "shape": list(batch)}

    def network(self, key: str, arch: Arch) -> Entry:
        """The entry of `arch`. Raises `ValueError` for block kinds that only this process has."""
        self.modules |= {*_importable(arch)}
        return self.prepare(network_entry(key, arch), lambda: build_network(arch), arch.input_shape)

    def row(self, key: str, layer: Layer, shape: Shape) -> Entry:
        """The entry of a table's row."""
        self.modules.add(type(layer).__module__)
        return self.prepare(row_entry(key, layer, shape), lambda: layer.build(shape), shape)

    def common(self, entries: Iterable[Mapping[str, Any]], seed: int) -> dict[str, Any]:
        """What every process is told: the references of these `entries` and the rest."""
        rungs = {entry["rung"] for entry in entries}
        references = {rung: self.network(f"reference:{rung}", ladder()[rung]) for rung in sorted(rungs)}
        modules = sorted({*self.modules, type(runtime_named(self.device.runtime)).__module__})
        told = {"seed": seed, "device": self.device.to_request(), "under": self.under or self.device.runtime}
        return {**told, "references": references, "modules": modules}

    def run(
        self, requests: Sequence[Request], record: Record, pin: bool = False, told: Told = lambda words: None
    ) -> bool:
        """Let processes answer `requests`, one each; returns whether they were bound to one core.

        `told` is given what they say of their preparations.

        No process begins for no request: all blocks of an interrupted table may have been visited already.
        """
        if not requests:
            return False
        importable = os.pathsep.join(filter(None, sys.path))  # what this process can import
        found = {**as_deployed(os.environ), "PYTHONPATH": importable}
        command = [sys.executable, "-m", "nas.latency.measuring.processes.module_script"]
        if self.command:
            command = [*self.command, str(self.folder)]
        elif self.takes_graphs:
            command = [sys.executable, "-m", "nas.latency.measuring.kit_script", str(self.folder), SAMPLE]
        with pinned(pin, self.device.threads) as bound:  # what they are started by, they inherit
            if not self.takes_graphs and FORKS:
                ask(command, requests, record, found, told)
            else:
                for one in requests:
                    ask(command, [one], record, found, told)
        return bound


@contextmanager
def bench(device: Device) -> Iterator[Bench]:
    """A bench for `device`. Raises `ValueError` where this machine cannot measure for it."""
    check_local(device)
    with tempfile.TemporaryDirectory(prefix="nas-measuring-") as folder:
        yield Bench(device, Path(folder))


def _importable(arch: Arch) -> tuple[str, ...]:
    """The modules that define the layers of `arch`."""
    for layer in arch.layers:
        if type(layer).__module__ == "__main__":
            raise ValueError(
                f"the block kind {layer.kind!r} is defined in the program itself; put it into a module of its own, "
                "which the process that measures can import"
            )
    return modules_of(arch)
