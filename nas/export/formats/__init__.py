"""File formats a network can be exported to; one a file.

A format writes a network in eval mode to a file and runs that file again on a batch of images.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

Run = Callable[[np.ndarray], np.ndarray]


class Write(Protocol):
    def __call__(self, network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
        """Write `network` for images of `input_shape`; `batch_size` counts where the batch is not dynamic."""
        ...


@dataclass(frozen=True)
class Format:
    """A format: its file suffix, the package that writes it, whether one file serves every batch size."""

    name: str
    suffix: str
    package: str
    install: str
    dynamic_batch: bool

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def check(self) -> None:
        """Raise `ValueError` saying what to install where the format cannot be written here."""
        if not self.installed:
            raise ValueError(
                f"format {self.name!r} needs the package {self.package}, which is not installed; {self.install}"
            )

    @property
    def write(self) -> Write:
        return importlib.import_module(f"nas.export.formats.{self.name}").write

    @property
    def load(self) -> Callable[[Path], Run]:
        """Load a file; the result maps images (B, C, H, W) float32 to logits (B, num_classes)."""
        return importlib.import_module(f"nas.export.formats.{self.name}").load


FORMATS: dict[str, Format] = {
    "onnx": Format("onnx", ".onnx", "onnxscript", "pip install onnx onnxscript onnxruntime", True),
    "executorch": Format("executorch", ".pte", "executorch", "pip install executorch", False),
    "litert": Format(
        "litert",
        ".tflite",
        "litert_torch",
        "pip install litert-torch (up to its release 0.10 it accepts torch < 2.15 only, so use a separate environment)",
        False,
    ),
}


def format_named(name: str) -> Format:
    """The format called `name`, ready to write. Raises `ValueError` for an unknown one or one that is not installed."""
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}; one of {', '.join(FORMATS)}")
    FORMATS[name].check()
    return FORMATS[name]
