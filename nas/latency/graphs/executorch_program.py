"""ExecuTorch programs of ONNX graphs, lowered to XNNPACK, and where their operators run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nas.latency.graphs.plain import folded, read
from nas.latency.placement import Placement

IDLE = ("view_copy", "permute_copy", "clone", "slice_copy", "getitem", "_clone_dim_order", "_to_dim_order_copy")
CONVERSIONS = ("quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel")


def lowered(graph: bytes, shape: tuple[int, ...], dtype: str) -> tuple[bytes, Placement]:
    """The program of the ONNX model `graph`, whose input has `shape`, in the arithmetic `dtype` (fp32 or int8)."""
    import torch

    from nas.latency.graphs.torch_module import GraphModule

    with without_warnings():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        module = GraphModule(folded(read(graph))).eval()
        exported = torch.export.export(module, (torch.zeros(shape),))
        if dtype == "int8":
            exported = torch.export.export(_quantized(exported.module(), shape), (torch.zeros(shape),))
        unchecked = EdgeCompileConfig(_check_ir_validity=False)  # that takes a fifth of the time
        edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()], compile_config=unchecked)
        placement = placement_of(edge.exported_program().graph_module, dtype)  # the last step adds operators of memory
        return edge.to_executorch().buffer, placement


def _quantized(module: Any, shape: tuple[int, ...]) -> Any:
    """`module` with the conversions that XNNPACK's quantiser puts around operators: int8, weights per channel."""
    import torch
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from nas.latency.measuring.quantize import calibration

    quantizer = xnnpack_quantizer.XNNPACKQuantizer()
    quantizer.set_global(xnnpack_quantizer.get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantizer)
    for batch in calibration(shape):
        prepared(torch.from_numpy(batch))
    return convert_pt2e(prepared)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Of what ExecuTorch itself uses, and of interfaces that are new: nobody here can act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def placement_of(module: Any, dtype: str = "fp32") -> Placement:
    """Which operators of a lowered program are left to the portable kernels, outside XNNPACK's parts, and which compute
    in floats where `dtype` is int8."""
    operators, left = 0, Counter[str]()
    parts = [
        found.original_module.graph
        for node in module.graph.nodes
        if node.op == "get_attr" and hasattr(found := getattr(module, node.target), "original_module")
    ]
    for graph in (*parts, module.graph):
        for node in graph.nodes:
            name = _name(node.target) if node.op == "call_function" else None
            if name is None or name in (*IDLE, *CONVERSIONS, "executorch_call_delegate"):
                continue
            operators += 1
            outside = graph is module.graph
            faults = ["in fp32"] if dtype == "int8" and (outside or not _in_eight_bits(node)) else []
            faults += ["outside XNNPACK"] if outside else []
            if faults:
                left[f"{name} {', '.join(faults)}"] += 1
    return Placement(1, operators, dict(left))


def _in_eight_bits(node: Any) -> bool:
    """Whether `node` is given 8 bits: XNNPACK's partitioner marks the conversions that became part of an operator.

    An activation that became part of the operator before it is given that one's result.
    """
    from executorch.backends.xnnpack.utils.quant_utils import is_dequant, is_tagged_as_implicit_q_dq

    given = node.all_input_nodes
    if any(is_dequant(each) and is_tagged_as_implicit_q_dq(each) for each in given):
        return True
    fused = len(given) == 1 and given[0].op == "call_function" and all(map(is_tagged_as_implicit_q_dq, node.users))
    return fused and _name(given[0].target) not in CONVERSIONS and _in_eight_bits(given[0])


def _name(target: Any) -> str:
    """`convolution`, `relu`, `add`..."""
    packet = getattr(target, "_schema", None)
    name = packet.name if packet is not None else getattr(target, "__name__", str(target))
    return str(name).split("::")[-1].split(".")[0]
