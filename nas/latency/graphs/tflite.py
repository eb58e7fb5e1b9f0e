"""TensorFlow Lite files written directly, in milliseconds: what LiteRT's own converter would give for our networks.

Tensors with height and width hold their channels last, as that format wants them: of an ONNX tensor (N, C..., H, W) the
file holds (N, H, W, C...). Batch norms are folded, activations fused; padding that is neither of the format's two is an
operator of its own. The input stays (N, C, H, W), as in files of `nas.export format=litert`.
"""

from __future__ import annotations

from nas.latency.graphs.plain import NoForm, folded, read
from nas.latency.graphs.tflite_operators import EMIT
from nas.latency.graphs.tflite_writer import Writer


def to_tflite(model: bytes) -> bytes:
    """The file for the ONNX `model` (see `plain.read`). Raises `NoForm` for operators that have no form here."""
    graph = folded(read(model))
    unknown = sorted({node.kind for node in graph.nodes} - set(EMIT))
    if unknown:
        raise NoForm(f"TensorFlow Lite files are not written for {', '.join(unknown)}")
    writer = Writer(graph)
    for node in graph.nodes:
        if node.output not in writer.fused:
            EMIT[node.kind](writer, node)
    return writer.file()
