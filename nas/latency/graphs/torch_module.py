"""An ONNX graph as a torch module, for converters that begin at torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.latency.graphs.plain import Graph, Node, NoForm


class GraphModule(nn.Module):
    """Computes `graph`: the same operators in the same order, weights as buffers."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        unknown = sorted({node.kind for node in graph.nodes} - set(_CALLS))
        if unknown:
            raise NoForm(f"graphs with {', '.join(unknown)} cannot be rebuilt in torch; export the network itself")
        self.graph = graph
        self.plain: dict[str, list[int]] = {}
        for name, value in graph.constants.items():
            if np.issubdtype(value.dtype, np.integer):
                self.plain[name] = [int(n) for n in value.ravel()]
            else:
                self.register_buffer(_buffer(name), torch.from_numpy(np.array(value)))

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {"input": x}
        for node in self.graph.nodes:
            inputs = [self._value(values, name) for name in node.inputs]
            values[node.output] = _CALLS[node.kind](node, *inputs)
        result: Tensor = values["output"]
        return result

    def _value(self, values: dict[str, Any], name: str) -> Any:
        if name in values:
            return values[name]
        if not name:  # an input that is left out
            return None
        return self.plain[name] if name in self.plain else getattr(self, _buffer(name))


def _buffer(name: str) -> str:
    return "c_" + name.replace(".", "_").replace("/", "_").replace(":", "_")


def _conv(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    top, left, bottom, right = node.attributes["pads"]
    if (top, left) != (bottom, right):
        x, top, left = functional.pad(x, (left, right, top, bottom)), 0, 0
    found = node.attributes
    return functional.conv2d(
        x, weight, bias, tuple(found["strides"]), (top, left), tuple(found["dilations"]), found["group"]
    )


def _batch_norm(node: Node, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, weight, bias, False, 0.1, node.attributes["epsilon"])


def _gemm(node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not node.attributes.get("transB") or node.attributes.get("transA"):
        raise NoForm("a Gemm whose weights are not (outputs, inputs)")
    return functional.linear(x, weight, bias)


def _clip(node: Node, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return functional.hardtanh(x, low.item(), high.item())


def _pad(node: Node, x: Tensor, ends: list[int]) -> Tensor:
    rank = x.ndim
    pairs = [(ends[i], ends[rank + i]) for i in reversed(range(rank))]
    return functional.pad(x, [n for pair in pairs for n in pair])


def _resize(node: Node, x: Tensor, *rest: Any) -> Tensor:
    if node.attributes.get("mode") != b"nearest" or len(rest) != 3 or not isinstance(rest[2], list):
        raise NoForm("a Resize that is not nearest to given sizes")
    return functional.interpolate(x, tuple(rest[2][2:]), mode="nearest")


def _slice(node: Node, x: Tensor, starts: list[int], ends: list[int], axes: list[int]) -> Tensor:
    for start, end, axis in zip(starts, ends, axes, strict=True):
        x = x.narrow(axis, start, end - start)
    return x


_CALLS: dict[str, Callable[..., Tensor]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "Relu": lambda node, x: functional.relu(x),
    "Clip": _clip,
    "HardSwish": lambda node, x: functional.hardswish(x),
    "HardSigmoid": lambda node, x: functional.hardsigmoid(x),
    "Elu": lambda node, x: functional.elu(x, node.attributes.get("alpha", 1.0)),
    "Resize": _resize,
    "Sigmoid": lambda node, x: torch.sigmoid(x),
    "Add": lambda node, a, b: a + b,
    "Mul": lambda node, a, b: a * b,
    "ReduceMean": lambda node, x, axes: x.mean(tuple(axes), keepdim=bool(node.attributes.get("keepdims", 1))),
    "Reshape": lambda node, x, shape: x.reshape(tuple(shape)),
    "Transpose": lambda node, x: x.permute(tuple(node.attributes["perm"])),
    "Concat": lambda node, *parts: torch.cat(parts, dim=node.attributes["axis"]),
    "Pad": _pad,
    "Slice": _slice,
    "Identity": lambda node, x: x,
}
