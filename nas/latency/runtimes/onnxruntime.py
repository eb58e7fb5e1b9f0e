"""ONNX Runtime, given the graph that `torch.onnx.export` would give (see `onnx_graph`)."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.device import Device
from nas.latency.measuring.timing import image, onnx_session
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session, onnx_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["RUNTIME", "onnx_model"]
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# What computes nothing, or changes between formats of numbers.
IDLE = (
    "Reshape",
    "Identity",
    "Transpose",
    "Flatten",
    "ReorderInput",
    "ReorderOutput",
    "MemcpyToHost",
    "MemcpyFromHost",
)
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


class OnnxRuntime(GraphRuntime):
    name = "onnxruntime"
    dtypes = ("fp32", "int8")
    processors = ("cpu", "cuda")
    packages = ("torch", "onnxruntime")
    needs = (Package("onnxruntime", "onnxruntime"),)
    computes_in_caller = True

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        return [self._session(graph, shape, device) for _ in range(count)]

    def _session(self, graph: bytes, shape: tuple[int, ...], device: Device) -> Session:
        session, binding = onnx_session(graph, shape, device.threads, device.processor)
        return Session(
            lambda: session.run_with_iobinding(binding),
            lambda: binding.copy_outputs_to_cpu()[0],
            lambda: placement_of(graph, shape, device),
        )

    def placement(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> Placement:
        if device.dtype == "fp32" and device.processor == "cpu":
            return Placement()  # there is nothing to fall back to
        return super().placement(module, shape, device)

    def require_cuda(self) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "processor=cuda, but this onnxruntime has no CUDA provider; install onnxruntime-gpu or use the cpu"
            )


def placement_of(graph: bytes, shape: tuple[int, ...], device: Device) -> Placement:
    """Which operators of the model `graph` ran under another provider or in floats: from one profiled run."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = device.threads
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(graph, options, providers=[PROVIDERS[device.processor]])
        session.run(None, {"input": image(shape)})
        events = json.loads(Path(session.end_profiling()).read_text())
    asked = PROVIDERS[device.processor]
    operators, elsewhere = 0, Counter[str]()
    for event in events:
        found = event.get("args", {})
        kind = found.get("op_name")
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time") or kind in IDLE:
            continue
        operators += kind not in CONVERSIONS
        if found.get("provider", asked) != asked:
            elsewhere[f"{kind} under {found['provider'].removesuffix('ExecutionProvider')}"] += 1
        elif device.dtype == "int8" and kind not in CONVERSIONS and _takes_floats(found):
            elsewhere[f"{kind} in fp32"] += 1
    return Placement(1, operators, dict(elsewhere))


def _takes_floats(event: dict[str, Any]) -> bool:
    kinds = [kind for entry in event.get("input_type_shape", [])[:1] for kind in entry]
    return kinds == ["float"]


RUNTIME = OnnxRuntime()
