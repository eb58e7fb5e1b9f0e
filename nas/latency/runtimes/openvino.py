"""OpenVINO on the CPU: one stream, asked for latency, given the ONNX graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nas.latency.device import Device
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # int8 stands in the graph; what is left of it is floats
RUNS_AS = {"fp32": ("f32",), "bf16": ("bf16",), "int8": ("u8", "i8")}
IDLE = ("Const", "Input", "Output", "Reorder", "Reshape", "Transpose", "Concatenation", "Split", "Convert")
IDLE_IN_INT8 = ("FakeQuantize",)  # what turns floats into 8 bits is given floats


class OpenVino(GraphRuntime):
    name = "openvino"
    dtypes = ("fp32", "bf16", "int8")
    packages = ("openvino",)
    needs = (Package("openvino", "openvino", "2024.0"),)
    computes_in_caller = True

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        import openvino

        core = openvino.Core()
        model = core.read_model(graph)
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": device.threads,
            "INFERENCE_PRECISION_HINT": PRECISIONS[device.dtype],
            "ENABLE_CPU_PINNING": False,  # pinning is ours to decide (pin=true)
        }
        return [_session(core.compile_model(model, "CPU", options), shape, device) for _ in range(count)]


def _session(compiled: Any, shape: tuple[int, ...], device: Device) -> Session:
    import openvino

    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(image(shape)))
    return Session(request.infer, lambda: request.get_output_tensor().data.copy(), lambda: _placement(compiled, device))


def _placement(compiled: Any, device: Device) -> Placement:
    """What the compiled model says of the arithmetic that each of its operators got."""
    idle = (*IDLE, *IDLE_IN_INT8) if device.dtype == "int8" else IDLE
    operators, elsewhere = 0, Counter[str]()
    for node in compiled.get_runtime_model().get_ordered_ops():
        told = node.get_rt_info()
        kind, precision = (told[name].astype(str) for name in ("layerType", "runtimePrecision"))
        if kind in idle:
            continue
        operators += 1
        if precision not in RUNS_AS[device.dtype]:
            elsewhere[f"{kind} in {precision.replace('f32', 'fp32')}"] += 1
    return Placement(1, operators, dict(elsewhere))


RUNTIME = OpenVino()
