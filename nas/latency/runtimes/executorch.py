"""ExecuTorch, its graphs lowered to XNNPACK (see `executorch_program`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.latency.device import Device
from nas.latency.graphs.executorch_program import lowered, without_warnings
from nas.latency.graphs.stand_in import kept
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

LOWERING = 2  # raised where this file makes other programs of the same graph


class ExecuTorch(GraphRuntime):
    """Lowering a graph takes seconds to tens of seconds: programs of stand-in weights are kept (see `stand_in`).

    ExecuTorch has one pool of threads for a process, of which one thread is the caller.
    """

    name = "executorch"
    dtypes = ("fp32", "int8")
    packages = ("executorch", "torch")
    identified_by = ("executorch", "torch")
    needs = (Package("executorch", "executorch", "1.0"), Package("torch", "torch", "2.8"))
    needs_int8 = (Package("torchao", "torchao", "0.14"),)
    computes_in_caller = True
    quantises = True
    weights_matter = False

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        program, placement = self._program(graph, shape, device.dtype)
        _use_threads(device.threads)
        return [_session(program, shape, placement) for _ in range(count)]

    def _program(self, graph: bytes, shape: tuple[int, ...], dtype: str) -> tuple[bytes, Placement]:
        def make() -> bytes:
            program, placement = lowered(graph, shape, dtype)
            return json.dumps(placement.to_dict()).encode() + b"\n" + program

        maker = f"executorch {LOWERING} {dtype} {self.versions_here(dtype)}"
        head, _, program = kept(graph, maker, make).partition(b"\n")
        return program, Placement.from_dict(json.loads(head))


def _use_threads(count: int) -> None:
    with without_warnings():
        from executorch.extension.pybindings import portable_lib

        if portable_lib._threadpool_get_thread_count() != count:
            portable_lib._unsafe_reset_threadpool(count)  # safe while nothing runs


def _session(program: bytes, shape: tuple[int, ...], placement: Placement) -> Session:
    import torch
    from executorch.runtime import Runtime

    with without_warnings():
        loaded = Runtime.get().load_program(program)
        method = loaded.load_method("forward")
    inputs = [torch.from_numpy(image(shape))]
    last: list[Any] = []

    def run() -> None:
        last[:] = method.execute(inputs)

    def output() -> np.ndarray:
        return last[0].numpy().copy()

    return Session(run, output, lambda: placement, keeps=(loaded,))  # a method reads the bytes, which `loaded` holds


RUNTIME = ExecuTorch()
