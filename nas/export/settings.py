"""Types and ranges of the settings in `conf/export.yaml`."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, Any] = {
    "arch": str,
    "checkpoint": str | None,
    "format": str,
    "opset": int | None,
    "output": str | None,
    "batch_size": (int, 1),
    "tolerance": (float, 0),
    "calibration_images": (int, 1),
    "calibration": str,
    "largest_drop": (float, 0, 100),
    "measure": bool,
    "seed": int,
}
