"""ONNX files in eight bits, whose ranges of activations come from training images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nas.data import ImageData
from nas.export.formats.base import Format
from nas.export.settings import EIGHT_BITS
from nas.latency.device import version
from nas.latency.placement import Placement
from nas.runs.seeding import generator

if TYPE_CHECKING:
    from torch import nn

RANGES = ("min_max", "mean_min_max")
BATCH = 32  # images of which the extremes are looked at together


@dataclass(frozen=True)
class Calibration:
    """Ranges of activations are those that `images` training images of `data`, drawn by `seed`, reach.

    They are neither augmented nor test images. `ranges`: `min_max`, the extremes over all of them, or `mean_min_max`,
    the mean over batches of 32 of each one's extremes.
    """

    data: ImageData
    images: int = 512
    ranges: str = RANGES[0]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"calibration_images must be at least 1, got {self.images}")
        if self.ranges not in RANGES:
            raise ValueError(f"unknown calibration {self.ranges!r}; one of {', '.join(RANGES)}")

    @property
    def count(self) -> int:
        """How many images there are to take."""
        return min(self.images, len(self.data.train))

    def batches(self) -> Iterator[np.ndarray]:
        """The images (B, C, H, W), normalised."""
        rows = torch.randperm(len(self.data.train), generator=generator(self.seed, "calibration"))[: self.count]
        for images, _ in self.data.train.subset(rows.sort().values).in_order(BATCH):
            yield images.numpy()

    def record(self) -> dict[str, Any]:
        """What the receipt of a file says of it."""
        quantiser = f"onnxruntime {version('onnxruntime')}"
        return {"quantiser": quantiser, "data": self.data.name, "images": self.count, "ranges": self.ranges}


def check_floats(floats: Format) -> None:
    """Raise `ValueError` for a format that has no form in eight bits."""
    if floats.name != "onnx":
        raise ValueError(
            f"format={floats.name} writes floats: files in eight bits are ONNX's; give format=onnx or device.dtype=fp32"
        )


def eight_bits(floats: Format, calibration: Calibration) -> Format:
    """The format of ONNX files with int8 weights, a scale for each channel, and uint8 activations.

    `floats`: ONNX's own. Raises `ValueError` for another format.
    """
    check_floats(floats)

    def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
        import onnx

        from nas.latency.measuring.quantize import quantized

        floats.write(network, input_shape, batch_size, path)
        averages = calibration.ranges == "mean_min_max"
        onnx.save(quantized(onnx.load(path), calibration.batches(), averages), path)

    return replace(
        floats, write=write, dtype=EIGHT_BITS, floats=floats, placement=placement, calibrated=calibration.record()
    )


def placement(path: Path) -> Placement:
    """Which operators of `path` ONNX Runtime computes in floats."""
    import onnxruntime

    from nas.latency.onnx_placement import onnx_placement

    (source,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()
    return onnx_placement(path.read_bytes(), (1, *source.shape[1:]), 1, "cpu", EIGHT_BITS)
