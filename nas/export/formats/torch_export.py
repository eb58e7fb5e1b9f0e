"""The program of `torch.export`, for any batch size; torch alone loads it: `torch.export.load("net.pt2").module()`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.export.formats.base import Format, Run, under_torch

if TYPE_CHECKING:
    from torch import nn

IMAGES = (
    "images.json"  # beside the program, in the same file: `torch.export.load(path, extra_files={"images.json": ""})`
)


def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
    """Write `network` to `path`, with input `x` (batch, C, H, W)."""
    import torch

    example = torch.zeros(2, *input_shape)  # a batch of 1 would be taken for a constant
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=shapes), path)


def describe(path: Path, images: Mapping[str, Any]) -> None:
    """Let the file `path` say how its images are prepared."""
    import torch

    torch.export.save(torch.export.load(path), path, extra_files={IMAGES: json.dumps(dict(images))})


def load(path: Path, threads: int = 1) -> Run:
    """`path` under torch."""
    import torch

    return under_torch(torch.export.load(path).module())


FORMAT = Format(
    "torch_export",
    ".pt2",
    "torch",
    "pip install torch",
    write,
    load,
    dynamic_batch=True,
    sets_threads=False,
    describe=describe,
)
