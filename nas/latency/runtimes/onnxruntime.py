"""ONNX Runtime, given the graph that `torch.onnx.export` would give (see `onnx_graph`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas.latency.device import Device
from nas.latency.measuring.timing import onnx_session
from nas.latency.onnx_placement import can_fall_back, onnx_placement
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session, onnx_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["RUNTIME", "onnx_model"]


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
        if not can_fall_back(device.dtype, device.processor):
            return Placement()
        return super().placement(module, shape, device)

    def require_cuda(self) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "processor=cuda, but this onnxruntime has no CUDA provider; install onnxruntime-gpu or use the cpu"
            )


def placement_of(graph: bytes, shape: tuple[int, ...], device: Device) -> Placement:
    """See `nas.latency.onnx_placement`."""
    return onnx_placement(graph, shape, device.threads, device.processor, device.dtype)


RUNTIME = OnnxRuntime()
