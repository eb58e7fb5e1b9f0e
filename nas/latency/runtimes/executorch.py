"""ExecuTorch, its graphs lowered to XNNPACK."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from nas.latency.device import Device
from nas.latency.graphs.plain import folded, read
from nas.latency.graphs.stand_in import kept
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

LOWERING = 1  # raised where this file makes other programs of the same graph
IDLE = ("view_copy", "permute_copy", "clone", "slice_copy", "getitem", "_clone_dim_order", "_to_dim_order_copy")


class ExecuTorch(GraphRuntime):
    """Lowering a graph takes seconds to tens of seconds: programs of stand-in weights are kept (see `stand_in`).

    ExecuTorch has one pool of threads for a process, of which one thread is the caller.
    """

    name = "executorch"
    dtypes = ("fp32",)
    packages = ("executorch", "torch")
    identified_by = ("executorch", "torch")
    needs = (Package("executorch", "executorch", "1.0"), Package("torch", "torch", "2.8"))
    computes_in_caller = True
    weights_matter = False

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        program, placement = self._program(graph, shape)
        _use_threads(device.threads)
        return [_session(program, shape, placement) for _ in range(count)]

    def _program(self, graph: bytes, shape: tuple[int, ...]) -> tuple[bytes, Placement]:
        def make() -> bytes:
            program, placement = _lowered(graph, shape)
            return json.dumps(placement.to_dict()).encode() + b"\n" + program

        head, _, program = kept(graph, f"executorch {LOWERING} {self.versions_here()}", make).partition(b"\n")
        return program, Placement.from_dict(json.loads(head))


def _lowered(graph: bytes, shape: tuple[int, ...]) -> tuple[bytes, Placement]:
    import torch

    from nas.latency.graphs.torch_module import GraphModule

    with _without_warnings():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        module = GraphModule(folded(read(graph))).eval()
        exported = torch.export.export(module, (torch.zeros(shape),))
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        return lowered.to_executorch().buffer, placement_of(lowered.exported_program().graph_module)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Of what ExecuTorch itself uses, and of interfaces that are new: nobody here can act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def placement_of(module: Any) -> Placement:
    """Which operators of a lowered program are left to the portable kernels, outside XNNPACK's parts."""
    inside, outside = Counter[str](), Counter[str]()
    for node in module.graph.nodes:
        if node.op == "get_attr" and hasattr(found := getattr(module, node.target), "original_module"):
            inside.update(_kinds(found.original_module.graph))
    outside.update(_kinds(module.graph))
    left = {f"{kind} outside XNNPACK": count for kind, count in outside.items()}
    return Placement(1, sum(inside.values()) + sum(outside.values()), left)


def _kinds(graph: Any) -> list[str]:
    """The names of the operators of `graph` that compute: `convolution`, `relu`, `add`..."""
    names = [_name(node.target) for node in graph.nodes if node.op == "call_function"]
    return [name for name in names if name not in (*IDLE, "executorch_call_delegate")]


def _name(target: Any) -> str:
    packet = getattr(target, "_schema", None)
    name = packet.name if packet is not None else getattr(target, "__name__", str(target))
    return str(name).split("::")[-1].split(".")[0]


def _use_threads(count: int) -> None:
    with _without_warnings():
        from executorch.extension.pybindings import portable_lib

        if portable_lib._threadpool_get_thread_count() != count:
            portable_lib._unsafe_reset_threadpool(count)  # safe while nothing runs


def _session(program: bytes, shape: tuple[int, ...], placement: Placement) -> Session:
    import torch
    from executorch.runtime import Runtime

    with _without_warnings():
        loaded = Runtime.get().load_program(program)
        method = loaded.load_method("forward")
    inputs = [torch.from_numpy(image(shape))]
    last: list[Any] = []

    def run() -> None:
        last[:] = method.execute(inputs)

    def output() -> np.ndarray:
        assert loaded is not None  # the method does not keep its program alive
        return last[0].numpy().copy()

    return Session(run, output, lambda: placement)


RUNTIME = ExecuTorch()
