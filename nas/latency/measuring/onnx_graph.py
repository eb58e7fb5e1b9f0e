"""ONNX graphs of our modules in milliseconds instead of seconds.

A table needs a graph of every block and of dozens of whole networks, and `torch.onnx.export` takes one to six seconds
for each. Our networks consist of a handful of operators, so the calls a module makes are recorded while it runs once
and written down as ONNX. What ONNX Runtime executes after its own optimisation is the same as for an exported file: a
test compares the two. A module with an operator outside the list goes through `torch.onnx.export`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

OPSET = 20
IR_VERSION = 10  # the version of OPSET 20, so that older runtimes on devices read the files


class UnknownOperator(Exception):
    """The module calls something this file has no ONNX form for."""


def to_onnx(module: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The ONNX model of `module` in eval mode for inputs `input` of the fixed `input_shape` (batch first), fp32.

    Its only output is called `output`.
    """
    module = module.eval()
    try:
        return _Recorder(module, input_shape).model()
    except UnknownOperator:
        return _exported(module, input_shape)


def _exported(module: nn.Module, input_shape: tuple[int, ...]) -> onnx.ModelProto:
    program = torch.onnx.export(
        module,
        (torch.zeros(input_shape),),
        dynamo=True,
        verbose=False,
        input_names=["input"],
        output_names=["output"],
    )
    assert program is not None  # without a file name the exporter hands its program back
    return program.model_proto


class _Recorder(TorchFunctionMode):
    """Runs a module once and notes each torch call on a tensor that depends on the input."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.names: dict[int, str] = {}
        self.stored: dict[str, str] = {}
        self.alive: list[Tensor] = []  # ids stay unique while their tensors live
        self.input_shape = input_shape
        x = torch.zeros(input_shape)
        self.bind(x, "input")
        with torch.no_grad(), self:
            out = module(x)
        if not isinstance(out, Tensor) or id(out) not in self.names:
            raise UnknownOperator("the output is not one tensor computed from the input")
        self.out = out

    def model(self) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [self.names[id(self.out)]], ["output"]))
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, self.input_shape)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, tuple(self.out.shape))],
            self.initializers,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def bind(self, tensor: Tensor, name: str) -> None:
        self.names[id(tensor)] = name
        self.alive.append(tensor)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tracked = [a for a in _flat(args, kwargs) if isinstance(a, Tensor) and id(a) in self.names]
        sources = [self.names[id(a)] for a in tracked]
        before = [id(a) for a in tracked]
        out = func(*args, **kwargs)
        if not tracked or not _has_tensor(out):
            return out
        if isinstance(out, Tensor) and id(out) in before and _aliased(out, self.alive):
            raise UnknownOperator("an in-place change of a tensor that others share")
        emit = _EMIT.get(func.__name__.strip("_").removeprefix("i") if func.__name__ in _INPLACE else func.__name__)
        if emit is None or not isinstance(out, Tensor):
            raise UnknownOperator(func.__name__)
        if func.__name__ in ("contiguous", "dropout") and out is args[0]:
            return out
        name = emit(self, out, dict(zip(before, sources, strict=True)), *args, **kwargs)
        self.bind(out, name)
        return out

    def constant(self, value: Tensor | np.ndarray) -> str:
        name = f"c{len(self.initializers)}"
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def source(self, sources: dict[int, str], value: Any) -> str:
        """The graph's name for an operand: a recorded tensor, a parameter, or a number."""
        if isinstance(value, Tensor):
            return sources[id(value)] if id(value) in sources else self.constant(value)
        return self.constant(np.asarray(value, dtype=np.float32))


def _flat(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in (*args, *kwargs.values()):
        found.extend(value if isinstance(value, list | tuple) else (value,))
    return found


def _has_tensor(out: Any) -> bool:
    return isinstance(out, Tensor) or (isinstance(out, tuple | list) and any(isinstance(o, Tensor) for o in out))


def _aliased(tensor: Tensor, others: list[Tensor]) -> bool:
    """Whether another recorded tensor looks at the memory of `tensor`."""
    start = tensor.untyped_storage().data_ptr()
    return any(other is not tensor and other.untyped_storage().data_ptr() == start for other in others)


def _pair(value: Any) -> list[int]:
    return [int(v) for v in value] if isinstance(value, list | tuple) else [int(value)] * 2


def _conv2d(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, weight: Tensor, bias: Tensor | None = None,
            stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> str:  # fmt: skip
    if isinstance(padding, str):
        raise UnknownOperator("conv2d with padding by name")
    inputs = [r.source(s, x), r.constant(weight)] + ([r.constant(bias)] if bias is not None else [])
    return r.node(
        "Conv",
        inputs,
        kernel_shape=list(weight.shape[2:]),
        strides=_pair(stride),
        pads=_pair(padding) * 2,
        dilations=_pair(dilation),
        group=groups,
    )


def _batch_norm(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, running_mean: Tensor, running_var: Tensor,
                weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
                momentum: float = 0.1, eps: float = 1e-5) -> str:  # fmt: skip
    if training or weight is None or bias is None:
        raise UnknownOperator("batch_norm without affine parameters or in training")
    stats = [r.constant(t) for t in (weight, bias, running_mean, running_var)]
    return r.node("BatchNormalization", [r.source(s, x), *stats], epsilon=float(eps))


def _linear(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> str:
    if x.ndim != 2:
        raise UnknownOperator("linear on a tensor that is not a matrix")
    inputs = [r.source(s, x), r.constant(weight)] + ([r.constant(bias)] if bias is not None else [])
    return r.node("Gemm", inputs, transB=1)


def _unary(kind: str, **attributes: Any) -> Callable[..., str]:
    def emit(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, *args: Any, **kwargs: Any) -> str:
        return r.node(kind, [r.source(s, x)], **attributes)

    return emit


def _binary(kind: str) -> Callable[..., str]:
    def emit(r: _Recorder, out: Tensor, s: dict[int, str], a: Any, b: Any, **kwargs: Any) -> str:
        if kwargs:
            raise UnknownOperator(f"{kind} with {', '.join(kwargs)}")
        return r.node(kind, [r.source(s, a), r.source(s, b)])

    return emit


def _silu(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, inplace: bool = False) -> str:
    name = r.source(s, x)
    return r.node("Mul", [name, r.node("Sigmoid", [name])])


def _clip(low: float, high: float) -> Callable[..., str]:
    def emit(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, *args: Any, **kwargs: Any) -> str:
        return r.node("Clip", [r.source(s, x), r.source(s, low), r.source(s, high)])

    return emit


def _hardtanh(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, min_val: float = -1.0, max_val: float = 1.0,
              inplace: bool = False) -> str:  # fmt: skip
    return _clip(min_val, max_val)(r, out, s, x)


def _mean(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, dim: Any, keepdim: bool = False) -> str:
    dims = r.constant(np.array([dim] if isinstance(dim, int) else list(dim), dtype=np.int64))
    return r.node("ReduceMean", [r.source(s, x), dims], keepdims=int(keepdim))


def _pool(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, output_size: Any) -> str:
    if _pair(output_size) != [1, 1]:
        raise UnknownOperator("adaptive pooling to more than one pixel")
    return _mean(r, out, s, x, (2, 3), keepdim=True)


def _reshape(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, *shape: Any, **kwargs: Any) -> str:
    return r.node("Reshape", [r.source(s, x), r.constant(np.array(out.shape, dtype=np.int64))])


def _transpose(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, a: int, b: int) -> str:
    order = list(range(x.ndim))
    order[a], order[b] = order[b], order[a]
    return r.node("Transpose", [r.source(s, x)], perm=order)


def _permute(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, *dims: Any) -> str:
    order = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
    return r.node("Transpose", [r.source(s, x)], perm=[int(d) % x.ndim for d in order])


def _cat(r: _Recorder, out: Tensor, s: dict[int, str], tensors: Any, dim: int = 0) -> str:
    return r.node("Concat", [r.source(s, t) for t in tensors], axis=dim)


def _pad(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, pad: Any, mode: str = "constant",
         value: float | None = None) -> str:  # fmt: skip
    if mode != "constant" or value not in (None, 0, 0.0):
        raise UnknownOperator(f"pad with mode {mode!r}")
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + [(pad[i], pad[i + 1]) for i in range(len(pad) - 2, -1, -2)]
    ends = np.array([p[0] for p in pairs] + [p[1] for p in pairs], dtype=np.int64)
    return r.node("Pad", [r.source(s, x), r.constant(ends)])


def _getitem(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, index: Any) -> str:
    slices = index if isinstance(index, tuple) else (index,)
    if not all(isinstance(i, slice) and i.step in (None, 1) for i in slices):
        raise UnknownOperator("indexing that is not by slices")
    bounds = [i.indices(x.shape[d]) for d, i in enumerate(slices)]
    ends = [r.constant(np.array([b[k] for b in bounds], dtype=np.int64)) for k in (0, 1)]
    return r.node("Slice", [r.source(s, x), *ends, r.constant(np.arange(len(bounds), dtype=np.int64))])


def _interpolate(r: _Recorder, out: Tensor, s: dict[int, str], x: Tensor, *size: Any, mode: str = "nearest",
                 **more: Any) -> str:  # fmt: skip
    if mode != "nearest" or x.ndim != 4 or any(new % old for new, old in zip(out.shape, x.shape, strict=True)):
        raise UnknownOperator("interpolate that is not nearest by a whole factor")
    inputs = [r.source(s, x), "", "", r.constant(np.array(out.shape, dtype=np.int64))]
    return r.node("Resize", inputs, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")


_INPLACE = ("__iadd__", "__imul__")
_EMIT: dict[str, Callable[..., str]] = {
    "conv2d": _conv2d,
    "batch_norm": _batch_norm,
    "linear": _linear,
    "relu": _unary("Relu"),
    "relu_": _unary("Relu"),
    "relu6": _clip(0.0, 6.0),
    "hardtanh": _hardtanh,
    "hardswish": _unary("HardSwish"),
    "hardsigmoid": _unary("HardSigmoid", alpha=1 / 6, beta=0.5),
    "sigmoid": _unary("Sigmoid"),
    "interpolate": _interpolate,
    "silu": _silu,
    "add": _binary("Add"),
    "mul": _binary("Mul"),
    "__add__": _binary("Add"),
    "__radd__": _binary("Add"),
    "__mul__": _binary("Mul"),
    "__rmul__": _binary("Mul"),
    "mean": _mean,
    "adaptive_avg_pool2d": _pool,
    **dict.fromkeys(("reshape", "view", "flatten"), _reshape),
    "transpose": _transpose,
    "permute": _permute,
    "contiguous": _unary("Identity"),
    "dropout": _unary("Identity"),
    "cat": _cat,
    "pad": _pad,
    "__getitem__": _getitem,
}
