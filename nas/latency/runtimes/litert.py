"""LiteRT (TensorFlow Lite) with XNNPACK, on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas.latency.device import Device
from nas.latency.graphs.stand_in import kept
from nas.latency.graphs.tflite import to_tflite
from nas.latency.graphs.tflite_int8 import quantized
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

FORM = 2  # raised where `tflite` writes other files of the same graph
IDLE = ("RESHAPE",)
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


class LiteRt(GraphRuntime):
    """Files are written by us, in milliseconds (see `tflite`); they compute what those of `nas.export` do.

    Eight bits are Google's own quantiser's (see `tflite_int8`).
    """

    name = "litert"
    dtypes = ("fp32", "int8")
    packages = ("ai-edge-litert",)
    identified_by = ("ai-edge-litert",)
    needs = (Package("ai_edge_litert", "ai-edge-litert", "1.2"),)
    needs_int8 = (Package("ai_edge_quantizer", "ai-edge-quantizer", "0.10"),)
    computes_in_caller = True
    quantises = True
    weights_matter = False

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        def make() -> bytes:
            model = to_tflite(graph)
            return quantized(model, shape) if device.dtype == "int8" else model

        model = kept(graph, f"tflite {FORM} {device.dtype} {self.versions_here(device.dtype)}", make)
        return [session_of(model, shape, device) for _ in range(count)]


def session_of(model: bytes, shape: tuple[int, ...], device: Device) -> Session:
    """The file `model` in an interpreter of its own, which takes XNNPACK by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=device.threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], image(shape))
    return Session(
        interpreter.invoke,
        lambda: interpreter.get_tensor(target["index"]),
        lambda: placement_of(interpreter, device.dtype),
    )


def placement_of(interpreter: Any, dtype: str = "fp32") -> Placement:
    """Which operators XNNPACK did not take, and which compute in floats where `dtype` is int8."""
    found = interpreter._get_ops_details()
    taken = _delegated(found)
    idle = ("DELEGATE", *IDLE, *(CONVERSIONS if dtype == "int8" else ()))
    operators = [op for op in found if op["op_name"] not in idle]
    left = Counter[str]()
    for op in operators:
        faults = []
        if dtype == "int8" and _floats(interpreter, op):
            faults.append("in fp32")
        if op["index"] not in taken:
            faults.append("outside XNNPACK")
        if faults:
            left[f"{op['op_name']} {', '.join(faults)}"] += 1
    return Placement(1, len(operators), dict(left))


def _floats(interpreter: Any, op: dict[str, Any]) -> bool:
    details = (interpreter._get_tensor_details(int(tensor), 0) for tensor in op["outputs"])
    return any(tensor["dtype"] == np.float32 for tensor in details)


def _delegated(found: Sequence[dict[str, Any]]) -> set[int]:
    """The indices of those operators that a delegate computes.

    The interpreter lists all operators of the file, then its delegates as operators of their own: what lies between
    the inputs of a delegate and its outputs is what the delegate computes.
    """
    makers = {int(tensor): op for op in found if op["op_name"] != "DELEGATE" for tensor in op["outputs"]}
    taken: set[int] = set()
    for delegate in found:
        if delegate["op_name"] != "DELEGATE":
            continue
        given = {int(tensor) for tensor in delegate["inputs"]}
        todo = [int(tensor) for tensor in delegate["outputs"]]
        while todo:
            op = makers.get(todo.pop())
            if op is not None and op["index"] not in taken:
                taken.add(op["index"])
                todo += [int(tensor) for tensor in op["inputs"] if int(tensor) not in given]
    return taken


RUNTIME = LiteRt()
