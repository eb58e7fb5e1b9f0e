"""How each operator of our graphs stands in a TensorFlow Lite file (see `tflite`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nas.latency.graphs.plain import Node, NoForm, norm
from nas.latency.graphs.tflite_writer import Writer, place, storage


def _conv(w: Writer, node: Node) -> None:
    found, constants = node.attributes, w.graph.constants
    weight = constants[node.inputs[1]]
    out, inside, *kernel = weight.shape
    groups, strides, dilations = found.get("group", 1), found["strides"], found["dilations"]
    shape = w.shape(node.inputs[0])
    source, same = _padded(
        w, w.index[node.inputs[0]], shape, node, [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    )
    bias = constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(out, np.float32)
    depthwise = groups == shape[-1] and inside == 1
    options = w.schema.DepthwiseConv2DOptionsT() if depthwise else w.schema.Conv2DOptionsT()
    options.strideH, options.strideW = strides
    options.dilationHFactor, options.dilationWFactor = dilations
    options.padding = w.schema.Padding.SAME if same else w.schema.Padding.VALID
    name, options.fusedActivationFunction = w.activation(node)
    if depthwise:
        options.depthMultiplier = out // shape[-1]
        filters = weight.transpose(1, 2, 3, 0)
    else:
        filters = weight.transpose(0, 2, 3, 1)
    inputs = [source, w.constant(filters), w.constant(bias)]
    w.index[name] = w.compute("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", inputs, w.shape(name), options)


def _padded(w: Writer, source: int, shape: tuple[int, ...], node: Node, extent: list[int]) -> tuple[int, bool]:
    """The input with its padding, and whether the format's own `SAME` stands for it."""
    top, left, bottom, right = node.attributes["pads"]
    if not any((top, left, bottom, right)):
        return source, False
    wanted = []
    for size, reach, stride in zip(shape[1:3], extent, node.attributes["strides"], strict=True):
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        wanted.append((total // 2, total - total // 2))
    if wanted == [(top, bottom), (left, right)]:
        return source, True
    ends = [[0, 0], [top, bottom], [left, right], [0, 0]]
    new = [size + sum(end) for size, end in zip(shape, ends, strict=True)]
    return w.compute("PAD", [source, w.constant(ends, np.int32)], new, w.schema.PadOptionsT()), False


def _batch_norm(w: Writer, node: Node) -> None:
    """One that follows no convolution: a product and a sum."""
    scale, shift = norm(node, w.graph.constants)
    shape = w.shape(node.output)
    times = w.compute("MUL", [w.index[node.inputs[0]], w.constant(scale)], shape, w.schema.MulOptionsT())
    options = w.schema.AddOptionsT()
    name, options.fusedActivationFunction = w.activation(node)
    w.index[name] = w.compute("ADD", [times, w.constant(shift)], shape, options)


def _binary(kind: str, options_name: str) -> Callable[[Writer, Node], None]:
    def emit(w: Writer, node: Node) -> None:
        rank = len(w.graph.shapes[node.output])
        options = getattr(w.schema, options_name)()
        name, options.fusedActivationFunction = w.activation(node)
        inputs = [w.operand(each, rank) for each in node.inputs]
        w.index[name] = w.compute(kind, inputs, w.shape(name), options)

    return emit


def _unary(kind: str) -> Callable[[Writer, Node], None]:
    def emit(w: Writer, node: Node) -> None:
        w.result(node, kind, [w.index[node.inputs[0]]])

    return emit


def _clip(w: Writer, node: Node) -> None:
    low, high = w.limits(node)
    source = w.index[node.inputs[0]]
    if (low, high) == (0.0, 6.0):
        w.result(node, "RELU6", [source])
        return
    options = w.schema.MaximumMinimumOptionsT()
    least = w.compute("MAXIMUM", [source, w.constant(low)], w.shape(node.output), options)
    w.result(node, "MINIMUM", [least, w.constant(high)], options)


def _hard_sigmoid(w: Writer, node: Node) -> None:
    """min(max(x + 3, 0), 6) / 6, as LiteRT's converter writes torch's."""
    if not np.isclose(node.attributes.get("alpha", 0.2), 1 / 6) or node.attributes.get("beta", 0.5) != 0.5:
        raise NoForm("a hard sigmoid other than torch's")
    options = w.schema.AddOptionsT()
    options.fusedActivationFunction = w.schema.ActivationFunctionType.RELU6
    shape = w.shape(node.output)
    moved = w.compute("ADD", [w.index[node.inputs[0]], w.constant(3.0)], shape, options)
    w.result(node, "MUL", [moved, w.constant(1 / 6)], w.schema.MulOptionsT())


def _elu(w: Writer, node: Node) -> None:
    if node.attributes.get("alpha", 1.0) != 1.0:
        raise NoForm("an Elu whose alpha is not 1")
    w.result(node, "ELU", [w.index[node.inputs[0]]])


def _resize(w: Writer, node: Node) -> None:
    if node.attributes.get("mode") != b"nearest" or len(node.inputs) != 4:
        raise NoForm("a Resize that is not nearest to given sizes")
    sizes = w.constant(w.shape(node.output)[1:3], np.int32)
    options = w.schema.ResizeNearestNeighborOptionsT()
    w.result(node, "RESIZE_NEAREST_NEIGHBOR", [w.index[node.inputs[0]], sizes], options)


def _gemm(w: Writer, node: Node) -> None:
    if not node.attributes.get("transB") or node.attributes.get("transA"):
        raise NoForm("a Gemm whose weights are not (outputs, inputs)")
    weight = w.graph.constants[node.inputs[1]]
    bias = w.graph.constants[node.inputs[2]] if len(node.inputs) > 2 else np.zeros(len(weight), np.float32)
    options = w.schema.FullyConnectedOptionsT()
    name, options.fusedActivationFunction = w.activation(node)
    inputs = [w.index[node.inputs[0]], w.constant(weight), w.constant(bias)]
    w.index[name] = w.compute("FULLY_CONNECTED", inputs, w.shape(name), options)


def _mean(w: Writer, node: Node) -> None:
    shape = w.graph.shapes[node.inputs[0]]
    axes = sorted(place(int(axis), len(shape)) for axis in w.graph.constants[node.inputs[1]].ravel())
    options = w.schema.ReducerOptionsT()
    options.keepDims = True
    kept = [1 if i in axes else size for i, size in enumerate(w.shape(node.inputs[0]))]
    mean = w.compute("MEAN", [w.index[node.inputs[0]], w.constant(axes, np.int32)], kept, options)
    keeps = bool(node.attributes.get("keepdims", 1))
    w.index[node.output] = mean if keeps else w.reshaped(mean, w.shape(node.output))


def _reshape(w: Writer, node: Node) -> None:
    before, after = w.graph.shapes[node.inputs[0]], w.graph.shapes[node.output]
    source = w.index[node.inputs[0]]
    maps = len(before) >= 4 and len(after) >= 4 and (before[0], *before[-2:]) == (after[0], *after[-2:])
    if maps:  # channels alone are grouped anew: they stand together in the file too
        w.index[node.output] = w.reshaped(source, w.shape(node.output))
        return
    order = storage(len(before))
    plain = w.transposed(source, w.shape(node.inputs[0]), [order.index(axis) for axis in range(len(before))])
    w.index[node.output] = w.transposed(w.reshaped(plain, after), after, storage(len(after)))


def _transpose(w: Writer, node: Node) -> None:
    wanted = node.attributes["perm"]
    before, after = storage(len(wanted)), storage(len(wanted))
    order = [before.index(wanted[axis]) for axis in after]
    w.index[node.output] = w.transposed(w.index[node.inputs[0]], w.shape(node.inputs[0]), order)


def _concat(w: Writer, node: Node) -> None:
    rank = len(w.graph.shapes[node.output])
    options = w.schema.ConcatenationOptionsT()
    options.axis = place(node.attributes["axis"], rank)
    w.result(node, "CONCATENATION", [w.operand(each, rank) for each in node.inputs], options)


def _pad(w: Writer, node: Node) -> None:
    ends = w.graph.constants[node.inputs[1]].ravel()
    rank = len(ends) // 2
    moved = [[int(ends[axis]), int(ends[rank + axis])] for axis in storage(rank)]
    w.result(node, "PAD", [w.index[node.inputs[0]], w.constant(moved, np.int32)], w.schema.PadOptionsT())


def _slice(w: Writer, node: Node) -> None:
    shape = w.shape(node.inputs[0])
    starts, ends, axes = (w.graph.constants[name].ravel() for name in node.inputs[1:4])
    begin, size = [0] * len(shape), list(shape)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        at = place(int(axis), len(shape))
        begin[at], size[at] = int(start), int(end - start)
    inputs = [w.index[node.inputs[0]], w.constant(begin, np.int32), w.constant(size, np.int32)]
    w.result(node, "SLICE", inputs, w.schema.SliceOptionsT())


EMIT: dict[str, Callable[[Writer, Node], None]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "Relu": _unary("RELU"),
    "Clip": _clip,
    "HardSwish": _unary("HARD_SWISH"),
    "HardSigmoid": _hard_sigmoid,
    "Sigmoid": _unary("LOGISTIC"),
    "Elu": _elu,
    "Resize": _resize,
    "Add": _binary("ADD", "AddOptionsT"),
    "Mul": _binary("MUL", "MulOptionsT"),
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Concat": _concat,
    "Pad": _pad,
    "Slice": _slice,
    "Identity": lambda w, node: w.index.__setitem__(node.output, w.index[node.inputs[0]]),
}
