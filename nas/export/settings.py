"""Types and ranges of the settings in `conf/export.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from search_spaces.plain_data.annotations import Range

OTHER_WEIGHTS = "a model folder as arch=, or checkpoint=random to export untrained weights (for timing only)"
RANDOM = "random"  # as a checkpoint: untrained weights
EIGHT_BITS = "int8"  # as device.dtype
TYPES: dict[str, Any] = {
    "arch": str,
    "checkpoint": str | None,
    "format": str,
    "opset": Annotated[int, Range(18, 23)] | None,
    "output": str | None,
    "batch_size": (int, 1),
    "tolerance": (float, 0),
    "calibration_images": (int, 1),
    "calibration": Literal["min_max", "mean_min_max"],
    "largest_drop": (float, 0, 100),
    "measure": bool,
    "seed": int,
}


def check_calibrated(data: Any) -> None:
    """Raise `ValueError` for a file in eight bits without `data`, a card, to calibrate it on."""
    if data is None:
        raise ValueError(
            "device.dtype=int8 writes a file in eight bits, which is calibrated on training images and judged by "
            "test images: give data=, or device.dtype=fp32"
        )
