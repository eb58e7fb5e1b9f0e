"""The tensors and operators of a TensorFlow Lite file as they are added (see `tflite`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from nas.latency.graphs.plain import Graph, Node

VERSION = 3  # of the file format
IDENTIFIER = b"TFL3"
SIGNATURE = "serving_default"  # the name under which a file's only function is asked for


def storage(rank: int) -> tuple[int, ...]:
    """Which axis of an ONNX tensor stands where in the file's."""
    return tuple(range(rank)) if rank < 4 else (0, rank - 2, rank - 1, *range(1, rank - 2))


def place(axis: int, rank: int) -> int:
    """Where the ONNX axis `axis` of a tensor with `rank` axes stands in the file's."""
    return storage(rank).index(axis % rank)


@dataclass
class Writer:
    """The tensors and operators of a file as they are added; `fused` are nodes that became part of another."""

    graph: Graph
    schema: ModuleType = field(init=False)
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    index: dict[str, int] = field(default_factory=dict)
    fused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self.schema = schema_py_generated
        self.buffers.append(self.schema.BufferT())  # the first is empty, that of all tensors without data
        self.uses = self.graph.uses()
        self.readers = {name: node for node in self.graph.nodes for name in node.inputs}
        shape = self.graph.shapes["input"]
        self.source = self.tensor(shape, name="input")
        self.index["input"] = self.transposed(self.source, shape, storage(len(shape)))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of the tensor `name` in the file."""
        found = self.graph.shapes[name]
        return tuple(found[axis] for axis in storage(len(found)))

    def tensor(self, shape: Sequence[int], data: np.ndarray | None = None, name: str = "") -> int:
        """A new tensor: of floats that are computed, or the constant `data`."""
        entry = self.schema.TensorT()
        entry.shape = np.array(shape, dtype=np.int32)
        entry.name = name or f"t{len(self.tensors)}"
        kinds = self.schema.TensorType
        entry.type = kinds.FLOAT32 if data is None or data.dtype == np.float32 else kinds.INT32
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), dtype=np.uint8)
            entry.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(entry)
        return len(self.tensors) - 1

    def constant(self, value: Any, dtype: type = np.float32) -> int:
        data: np.ndarray = np.array(value, dtype=dtype)
        return self.tensor(data.shape, data)

    def operand(self, name: str, rank: int) -> int:
        """The tensor `name` as an operand of an elementwise operator on tensors of `rank` axes."""
        if name in self.index:
            return self.index[name]
        value = self.graph.constants[name].astype(np.float32)
        if value.ndim:
            value = value.reshape((1,) * (rank - value.ndim) + value.shape).transpose(storage(rank))
        return self.constant(value)

    def operator(self, kind: str, inputs: Sequence[int], output: int, options: Any = None) -> int:
        """Add an operator of the builtin `kind` that computes `output`."""
        code = getattr(self.schema.BuiltinOperator, kind)
        entry = self.schema.OperatorT()
        entry.opcodeIndex = self.codes.setdefault(code, len(self.codes))
        entry.inputs, entry.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            kind_of_options = type(options).__name__.removesuffix("T")
            entry.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind_of_options)
            entry.builtinOptions = options
        self.operators.append(entry)
        return output

    def compute(self, kind: str, inputs: Sequence[int], shape: Sequence[int], options: Any = None) -> int:
        """As `operator`, into a new tensor of `shape`."""
        return self.operator(kind, inputs, self.tensor(shape), options)

    def result(self, node: Node, kind: str, inputs: Sequence[int], options: Any = None) -> None:
        """`node` is computed by one operator of the builtin `kind`."""
        self.index[node.output] = self.compute(kind, inputs, self.shape(node.output), options)

    def transposed(self, tensor: int, shape: Sequence[int], order: Sequence[int]) -> int:
        """`tensor`, of `shape`, with its axes in `order`; a reshape where only axes of one element move."""
        new = [shape[axis] for axis in order]
        long = [axis for axis in order if shape[axis] > 1]
        if list(order) == sorted(order):
            return tensor
        if long == sorted(long):
            return self.reshaped(tensor, new)
        return self.compute("TRANSPOSE", [tensor, self.constant(order, np.int32)], new, self.schema.TransposeOptionsT())

    def reshaped(self, tensor: int, shape: Sequence[int]) -> int:
        options = self.schema.ReshapeOptionsT()
        options.newShape = np.array(shape, dtype=np.int32)
        return self.compute("RESHAPE", [tensor, self.constant(shape, np.int32)], shape, options)

    def activation(self, node: Node) -> tuple[str, int]:
        """The tensor that `node` computes with the activation behind it, where that can be part of it, and its code."""
        codes = self.schema.ActivationFunctionType
        after = self.readers.get(node.output)
        if self.uses[node.output] == 1 and after is not None:
            code = {"Relu": codes.RELU, "Clip": codes.RELU6}.get(after.kind)
            if code == codes.RELU or (code is not None and self.limits(after) == (0.0, 6.0)):
                self.fused.add(after.output)
                return after.output, code
        return node.output, codes.NONE

    def limits(self, clip: Node) -> tuple[float, float]:
        low, high = (self.graph.constants[name].item() for name in clip.inputs[1:3])
        return low, high

    def file(self) -> bytes:
        """The file, once all operators are added."""
        import flatbuffers

        shape = self.graph.shapes["output"]
        order = storage(len(shape))
        back = tuple(order.index(axis) for axis in range(len(shape)))
        target = self.transposed(self.index["output"], self.shape("output"), back)
        self.tensors[target].name = "output"
        part = self.schema.SubGraphT()
        part.tensors, part.operators = self.tensors, self.operators
        part.inputs, part.outputs = np.array([self.source], np.int32), np.array([target], np.int32)
        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers = VERSION, [part], self.buffers
        model.operatorCodes = [self._code(code) for code in self.codes]
        model.signatureDefs = [self._signature(target)]
        size = sum(len(buffer.data) for buffer in self.buffers if buffer.data is not None)
        builder = flatbuffers.Builder(size + 4096)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _signature(self, target: int) -> Any:
        entry = self.schema.SignatureDefT()
        entry.signatureKey, entry.subgraphIndex = SIGNATURE, 0
        entry.inputs, entry.outputs = [self._named("input", self.source)], [self._named("output", target)]
        return entry

    def _named(self, name: str, tensor: int) -> Any:
        entry = self.schema.TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        return entry

    def _code(self, code: int) -> Any:
        entry = self.schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
        return entry
