"""ONNX Runtime, given the graph that `torch.onnx.export` would give (see `onnx_graph`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.latency.device import Device
from nas.latency.measuring.timing import Copies, onnx_workload
from nas.latency.runtimes.base import Runtime

if TYPE_CHECKING:
    import onnx
    from torch import nn


class OnnxRuntime(Runtime):
    name = "onnxruntime"
    dtypes = ("fp32", "int8")
    processors = ("cpu", "cuda")
    packages = ("torch", "onnxruntime")
    computes_in_caller = True

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        model = onnx_model(module, shape, device.dtype).SerializeToString()
        in_caller = self.in_calling_thread(device)
        return [onnx_workload(model, shape, device.threads, device.processor, in_caller) for _ in range(count)]

    def require_cuda(self) -> None:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "processor=cuda, but this onnxruntime has no CUDA provider; install onnxruntime-gpu or use the cpu"
            )


def onnx_model(module: nn.Module, shape: tuple[int, ...], dtype: str) -> onnx.ModelProto:
    """The graph ONNX Runtime is given for `module` on inputs of `shape` (batch first) in the arithmetic `dtype`."""
    from nas.latency.measuring.onnx_graph import to_onnx

    model = to_onnx(module, shape)
    if dtype == "int8":
        from nas.latency.measuring.quantize import quantize

        return quantize(model, shape)
    return model


RUNTIME = OnnxRuntime()
