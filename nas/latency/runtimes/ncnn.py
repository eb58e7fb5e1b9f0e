"""ncnn on the CPU, given the graph that its own converter, pnnx, makes of the ONNX one."""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.latency.device import Device
from nas.latency.graphs.stand_in import kept
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

PARTS = ("net.ncnn.param", "net.ncnn.bin")
IDLE = ("Input", "Split", "Reshape", "Permute", "Noop")  # Split: one blob under several names


class Ncnn(GraphRuntime):
    """`bf16`: activations and weights are stored in 16 bits; what computes in them depends on the processor.

    Times include the making of an extractor, as every inference with ncnn needs one.
    """

    name = "ncnn"
    dtypes = ("fp32", "bf16")
    packages = ("ncnn", "pnnx")
    identified_by = ("ncnn", "pnnx")
    needs = (Package("ncnn", "ncnn", "1.0.20240102"), Package("pnnx", "pnnx", "20240410"))
    computes_in_caller = True
    largest_batch = 1
    weights_matter = False

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        def make() -> bytes:
            with tempfile.TemporaryDirectory() as name:
                parts = _converted(graph, shape, Path(name))
            return b"%d\n" % len(parts[0]) + parts[0] + parts[1]

        length, _, rest = kept(graph, f"ncnn {self.versions_here(device.dtype)}", make).partition(b"\n")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / PARTS[0]).write_bytes(rest[: int(length)])
            (folder / PARTS[1]).write_bytes(rest[int(length) :])
            return [_session(folder, shape, device) for _ in range(count)]


def _converted(graph: bytes, shape: tuple[int, ...], folder: Path) -> list[bytes]:
    """What pnnx writes of `graph` into `folder`: the layers, and their weights."""
    found = importlib.util.find_spec("pnnx")  # not imported: that would import torch
    assert found is not None and found.origin is not None
    (folder / "net.onnx").write_bytes(graph)
    size = ",".join(str(n) for n in shape)
    command = [str(Path(found.origin).parent / "pnnx"), "net.onnx", f"inputshape=[{size}]", "fp16=0"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode or not (folder / PARTS[1]).exists():
        raise ValueError(f"pnnx could not convert the graph for ncnn: {(done.stderr or done.stdout).strip()[-300:]}")
    return [(folder / part).read_bytes() for part in PARTS]


def _session(folder: Path, shape: tuple[int, ...], device: Device) -> Session:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = device.threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = net.opt.use_bf16_packed = device.dtype == "bf16"
    if net.load_param(str(folder / PARTS[0])) or net.load_model(str(folder / PARTS[1])):
        raise ValueError("ncnn could not load the graph that pnnx wrote; install releases of the same month of both")
    images = image(shape)[0]
    source = ncnn.Mat(images)
    last: list[Any] = []

    def run() -> None:
        extractor = net.create_extractor()
        failed = extractor.input("in0", source)
        if not failed:
            failed, found = extractor.extract("out0")
        if failed:  # it says so by this number alone, and what stopped early would be filed as a quick time
            raise ValueError(f"ncnn could not compute the network: its status is {failed}; try another release of it")
        last[:] = [found]

    def output() -> np.ndarray:
        return np.array(last[0])[None]

    return Session(run, output, lambda: _placement(net, device), keeps=(images,))  # whose memory `source` is


def _placement(net: Any, device: Device) -> Placement:
    """Layers that cannot take 16 bits are given, and give, copies in fp32."""
    layers = [layer for layer in net.layers() if layer.type not in IDLE]
    short = [layer.type for layer in layers if not layer.support_bf16_storage] if device.dtype == "bf16" else []
    return Placement(1, len(layers), {f"{kind} in fp32": count for kind, count in Counter(short).items()})


RUNTIME = Ncnn()
