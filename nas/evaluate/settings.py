"""Types and ranges of the settings in `conf/evaluate.yaml`."""

from __future__ import annotations

from typing import Any

from nas.train.settings import COMPUTE_TYPES

OTHER_WEIGHTS = "or a model folder as arch="
TYPES: dict[str, Any] = {
    "arch": str,
    "checkpoint": str | None,
    "batch_size": (int, 1),
    "resolutions": list[int | list[int]] | None,
    "measure": bool,
    "seed": int,
    "run_dir": str | None,
    **COMPUTE_TYPES,
}
