"""ONNX through `torch.export`: one file with the weights inside, any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.export.formats.base import Format, Run

if TYPE_CHECKING:
    from torch import nn

OPSET = 20


def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
    """Write `network` to `path`, with input `input` (batch, C, H, W) and output `output` (batch, num_classes)."""
    import torch

    example = torch.zeros(2, *input_shape)  # a batch of 1 would be taken for a constant
    torch.onnx.export(
        network,
        (example,),
        str(path),
        dynamo=True,
        opset_version=OPSET,
        input_names=["input"],
        output_names=["output"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        external_data=False,
        verbose=False,
    )


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
    "onnx", ".onnx", "onnxscript", "pip install onnx onnxscript onnxruntime", write, load, dynamic_batch=True
)
