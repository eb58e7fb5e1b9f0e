"""Graphs whose weights are stand-ins, for runtimes that prepare a graph in seconds and can then keep what they made."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nas.runs.files import cache_folder, write_atomic

# The values of what operators are given beside their input; None: 1 / fan-in.
FRESH: dict[str, tuple[float | None, ...]] = {
    "Conv": (None, 0.01),
    "Gemm": (None, 0.01),
    "BatchNormalization": (1.0, 0.0, 0.0, 1.0),
}
LARGEST_KEPT = 2**21  # bytes of a kept file, compressed


def stand_in(model: bytes) -> bytes:
    """The ONNX `model` with weights of 1 / fan-in, as kits have them, and the norms and biases of fresh networks.

    Neither what is executed nor how long it takes depends on them, activations stay finite, and graphs of the same
    network are the same whatever its weights.
    """
    import onnx  # here: what only lists runtimes does without
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    values: dict[str, float | None] = {}
    for node in proto.graph.node:
        for name, value in zip(node.input[1:], FRESH.get(node.op_type, ()), strict=False):
            values[name] = value
    for weight in proto.graph.initializer:
        if weight.name in values:
            before = numpy_helper.to_array(weight)
            value = values[weight.name]
            filled = np.full(before.shape, len(before) / before.size if value is None else value, np.float32)
            weight.CopyFrom(numpy_helper.from_array(filled, weight.name))
    return proto.SerializeToString()


def kept(model: bytes, made_by: str, make: Callable[[], bytes]) -> bytes:
    """What `make` gives for the graph `model`, kept in the user's cache for `made_by`: what makes it, and its versions.

    Only what compresses well is kept: files of stand-ins, and not those of weights.
    """
    path = _folder() / hashlib.sha256(made_by.encode() + b"\0" + model).hexdigest()
    try:
        return zlib.decompress(path.read_bytes())
    except (OSError, zlib.error):
        pass
    made = make()
    small = zlib.compress(made, 1)
    if len(small) <= LARGEST_KEPT:
        with contextlib.suppress(OSError):  # a cache that cannot be written is no fault
            write_atomic(path, lambda temporary: _write(temporary, small))
    return made


def _folder() -> Path:
    return cache_folder() / "graphs"


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
