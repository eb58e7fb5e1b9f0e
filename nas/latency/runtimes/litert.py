"""LiteRT (TensorFlow Lite) with XNNPACK, on the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from nas.latency.device import Device
from nas.latency.graphs.stand_in import kept
from nas.latency.graphs.tflite import to_tflite
from nas.latency.measuring.timing import image
from nas.latency.placement import Placement
from nas.latency.runtimes.base import GraphRuntime, Package, Session

FORM = 1  # raised where `tflite` writes other files of the same graph
IDLE = ("RESHAPE",)


class LiteRt(GraphRuntime):
    """Files are written by us, in milliseconds (see `tflite`); they compute what those of `nas.export` do."""

    name = "litert"
    dtypes = ("fp32",)
    packages = ("ai-edge-litert",)
    identified_by = ("ai-edge-litert",)
    needs = (Package("ai_edge_litert", "ai-edge-litert", "1.2"),)
    computes_in_caller = True
    weights_matter = False

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        model = kept(graph, f"tflite {FORM} {self.versions_here()}", lambda: to_tflite(graph))
        return [session_of(model, shape, device.threads) for _ in range(count)]


def session_of(model: bytes, shape: tuple[int, ...], threads: int) -> Session:
    """The file `model` in an interpreter of its own, which takes XNNPACK by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.set_tensor(source["index"], image(shape))
    return Session(
        interpreter.invoke, lambda: interpreter.get_tensor(target["index"]), lambda: placement_of(interpreter)
    )


def placement_of(interpreter: Any) -> Placement:
    """Which operators XNNPACK did not take.

    The interpreter lists all operators of the file, then its delegates as operators of their own: what lies between
    the inputs of a delegate and its outputs is what the delegate computes.
    """
    found = interpreter._get_ops_details()
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
    operators = [op for op in found if op["op_name"] not in ("DELEGATE", *IDLE)]
    left = Counter(op["op_name"] for op in operators if op["index"] not in taken)
    return Placement(1, len(operators), {f"{name} outside XNNPACK": count for name, count in left.items()})


RUNTIME = LiteRt()
