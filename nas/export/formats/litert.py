"""LiteRT's `.tflite`, for one batch size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.export.formats.base import Format, Run
from nas.latency.placement import Placement
from nas.latency.runtimes.litert import placement_of

if TYPE_CHECKING:
    from torch import nn


def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
    """Write `network` to `path` for batches of exactly `batch_size` images (B, C, H, W)."""
    import litert_torch
    import torch

    litert_torch.convert(network, (torch.zeros(batch_size, *input_shape),)).export(str(path))


def load(path: Path, threads: int = 1) -> Run:
    """`path` under the LiteRT interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return run


def placement(path: Path) -> Placement:
    """Which operators of `path` XNNPACK leaves to the interpreter's own kernels."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    return placement_of(interpreter)


FORMAT = Format(
    "litert",
    ".tflite",
    "litert_torch",
    "pip install litert-torch (up to its release 0.10 it accepts torch < 2.15 only, so use a separate environment)",
    write,
    load,
    placement=placement,
)
