"""The device my_name: networks are timed by code of your own.

    python -m nas.doctor --config-dir my_cards device=my_name
    python -m nas.latency --config-dir my_cards device=my_name space=fbnet

A board that is reached by ssh needs no code (device=ssh), nor does a device that a folder of files can be carried to
(nas.latency action=kit). Once this file is edited, tables that it measured before are kept aside and measured anew.
"""

import time

import numpy as np
import onnxruntime
from torch import nn

from nas.latency.device import Device
from nas.latency.measuring.timing import Copies, Workload, image
from nas.latency.runtimes import register
from nas.latency.runtimes.base import Runtime, onnx_model


class Stopwatch:
    """One network, ready to run. Change these two methods: they use ONNX Runtime on this machine.

    To time on hardware of your own, send `graph` (an ONNX file's bytes) there in `__init__`, and in `times` have it
    run and bring the times back: by adb, a serial line, a vendor's tool, a web service.
    """

    def __init__(self, graph: bytes, image: np.ndarray, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self.feed = {"input": image}  # (batch, channels, height, width), fp32

    def times(self, calls: int) -> list[float]:
        """`calls` runs of the network on `image`: the milliseconds of each."""
        found = []
        for _ in range(calls):
            start = time.perf_counter()
            self.session.run(None, self.feed)
            found.append(1e3 * (time.perf_counter() - start))
        return found


class MyName(Runtime):
    """How tables and found networks are measured: each by several copies, in turns with the others."""

    name = "my_name"
    dtypes = ("fp32",)  # device.dtype; with "int8" in it, graphs come quantised
    packages = ("torch", "onnxruntime")  # whose versions a table states
    identified_by = ("onnxruntime",)  # those with which times change: their tables are measured anew

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        """`module`, loaded `count` times for images of `shape` (batch first)."""
        graph = onnx_model(module, shape, device.dtype).SerializeToString()
        return [self._copy(graph, shape, device) for _ in range(count)]

    def _copy(self, graph: bytes, shape: tuple[int, ...], device: Device) -> Workload:
        return Stopwatch(graph, image(shape), device.threads).times


register(MyName())


def my_name(dtype: str = "fp32", batch_size: int = 1, threads: int = 1) -> Device:
    """What a table belongs to. The card's keys are these arguments."""
    return Device(runtime="my_name", dtype=dtype, batch_size=batch_size, threads=threads)
