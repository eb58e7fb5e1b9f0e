"""An ONNX graph as plain data: nodes with their attributes, constants as arrays, shapes of all tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


class NoForm(ValueError):
    """A graph holds what another form of it cannot express."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator with one output."""

    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """`nodes` in an order in which they can be computed; `shapes` of every tensor, `constants` among them."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...]]

    def uses(self) -> Counter[str]:
        """How many operators read each tensor; the graph's output counts as read."""
        found = Counter(name for node in self.nodes for name in node.inputs)
        found["output"] += 1
        return found


def read(model: bytes) -> Graph:
    """The ONNX model with the input `input` and the output `output`. Raises `NoForm` where a shape is not fixed."""
    import onnx  # here: what only lists runtimes does without
    from onnx import helper, numpy_helper, shape_inference

    proto = shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True)
    graph = proto.graph
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            nodes.append(Node(node.op_type, tuple(node.input), node.output[0], attributes))
    shapes = {name: tuple(value.shape) for name, value in constants.items()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        if 0 in sizes:
            raise NoForm(f"the tensor {value.name} has a shape that is not fixed: {sizes}")
        shapes[value.name] = sizes
    return _without_identities(Graph(tuple(nodes), constants, shapes))


def _without_identities(graph: Graph) -> Graph:
    """`graph` without operators that hand their input on; its output keeps its name."""
    same: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = tuple(same.get(name, name) for name in node.inputs)
        if node.kind == "Identity" and (node.output != "output" or inputs[0] != "input"):
            same[node.output] = inputs[0]
        else:
            nodes.append(replace(node, inputs=inputs))
    final = same.get("output")
    if final is not None:
        nodes = [
            replace(
                node,
                inputs=tuple("output" if name == final else name for name in node.inputs),
                output="output" if node.output == final else node.output,
            )
            for node in nodes
        ]
    return Graph(tuple(nodes), graph.constants, graph.shapes)


def folded(graph: Graph) -> Graph:
    """`graph` with each batch norm that alone follows a convolution folded into its weights and bias.

    Constants that nothing reads any more are left out: converters would carry them through all their passes.
    """
    constants, uses = dict(graph.constants), graph.uses()
    makers = {node.output: node for node in graph.nodes}
    merged: dict[str, Node] = {}
    dropped: set[str] = set()
    for node in graph.nodes:
        conv = makers.get(node.inputs[0]) if node.kind == "BatchNormalization" else None
        if conv is None or conv.kind != "Conv" or uses[conv.output] != 1:
            continue
        scale, shift = norm(node, constants)
        weight = constants[conv.inputs[1]]
        bias = constants[conv.inputs[2]] if len(conv.inputs) > 2 else np.zeros(len(weight), np.float32)
        names = (f"{node.output}.weight", f"{node.output}.bias")
        constants[names[0]] = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        constants[names[1]] = bias * scale + shift
        merged[node.output] = replace(conv, inputs=(conv.inputs[0], *names), output=node.output)
        dropped.add(conv.output)
    nodes = tuple(merged.get(node.output, node) for node in graph.nodes if node.output not in dropped)
    used = {name for node in nodes for name in node.inputs}
    constants = {name: value for name, value in constants.items() if name in used}
    shapes = {**graph.shapes, **{name: tuple(value.shape) for name, value in constants.items()}}
    return Graph(nodes, constants, shapes)


def norm(node: Node, constants: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
    """The factor and the summand of each channel that the batch norm `node` stands for."""
    weight, bias, mean, variance = (constants[name] for name in node.inputs[1:5])
    scale = weight / np.sqrt(variance + np.float32(node.attributes.get("epsilon", 1e-5)))
    return scale, bias - mean * scale
