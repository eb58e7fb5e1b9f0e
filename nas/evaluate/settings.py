"""Types and ranges of the settings in `conf/evaluate.yaml`."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, Any] = {
    "arch": str,
    "checkpoint": str | None,
    "batch_size": (int, 1),
    "resolutions": list[int | list[int]] | None,
    "measure": bool,
    "seed": int,
    "run_dir": str | None,
    "accelerator": str,
    "precision": str,
}
