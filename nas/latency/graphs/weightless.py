"""Graphs that carry no large weights, for processes and devices that measure them."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

KEEP_ELEMENTS = 512  # weights up to this size stay in the files


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with each large float weight made a `ConstantOfShape(1 / fan-in)`, which keeps activations finite."""
    kept, fillers = [], []
    for weight in model.graph.initializer:
        size = math.prod(weight.dims)
        if size <= KEEP_ELEMENTS or weight.data_type != TensorProto.FLOAT:
            kept.append(weight)
            continue
        shape = f"{weight.name}_shape"
        kept.append(numpy_helper.from_array(np.array(weight.dims, dtype=np.int64), shape))
        value = helper.make_tensor("value", TensorProto.FLOAT, [1], [weight.dims[0] / size])
        fillers.append(helper.make_node("ConstantOfShape", [shape], [weight.name], value=value))
    graph = helper.make_graph(
        [*fillers, *model.graph.node], model.graph.name, model.graph.input, model.graph.output, kept
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
