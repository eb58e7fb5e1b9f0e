"""Types and ranges of the settings in `conf/export.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from search_spaces.plain_data.annotations import Range

OTHER_WEIGHTS = "a model folder as arch=, or checkpoint=random to export untrained weights (for timing only)"
RANDOM = "random"  # as a checkpoint: untrained weights
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
