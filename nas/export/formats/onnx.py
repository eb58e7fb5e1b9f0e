"""ONNX through `torch.export`: one file with the weights inside, any batch size."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.export.formats.base import Format, Run

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
OPSETS = range(18, 24)  # that torch's exporter writes


def write(
    network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path, opset: int = OPSET
) -> None:
    """Write `network` to `path`, with input `input` (batch, C, H, W) and output `output` (batch, num_classes)."""
    import torch

    example = torch.zeros(2, *input_shape)  # a batch of 1 would be taken for a constant
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=True,
        opset_version=opset,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


def describe(path: Path, images: Mapping[str, Any]) -> None:
    """Let the file `path` say how its images are prepared: one JSON value for each key of its metadata."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in images.items()})
    onnx.save(model, path)


def of_opset(opset: int) -> Format:
    """This format, in the operator set `opset`."""
    if opset not in OPSETS:
        raise ValueError(f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset}")
    return replace(FORMAT, write=functools.partial(write, opset=opset))


def load(path: Path, threads: int = 1) -> Run:
    """`path` under ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()

    def run(images: np.ndarray) -> np.ndarray:
        return session.run(None, {source.name: images})[0]

    return run


FORMAT = Format(
    "onnx",
    ".onnx",
    "onnxscript",
    "pip install onnx onnxscript onnxruntime",
    write,
    load,
    dynamic_batch=True,
    describe=describe,
)
