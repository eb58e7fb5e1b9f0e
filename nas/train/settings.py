"""Types and ranges of the settings in `conf/train.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from nas.runs.keeping.settings import KEEPING_TYPES
from search_spaces.plain_data.annotations import Range

Pieces = Annotated[int, Range(1)] | Literal["auto"]
Where = Literal["auto", "cpu", "cuda"]
Precision = Literal["no", "bf16", "fp16"]
COMPUTE_TYPES: dict[str, Any] = {"accelerator": Where, "precision": Precision}
TYPES: dict[str, Any] = {
    "arch": str,
    "initial_weights": str | None,
    "teacher": str | None,
    "teacher_weights": str | None,
    "distill_temperature": float | None,  # None in runs from before there were teachers
    "distill_alpha": float | None,
    "evaluate_every": (int, 0),
    "seed": int,
    **COMPUTE_TYPES,
    "sync_batch_norm": bool | None,
    "accumulate": Pieces | None,
    "freeze": str | list[str] | None,
    "layer_decay": float | None,
    "quantize": str | None,
    "compile": bool | None,
    "trackers": list[str] | None,
    **KEEPING_TYPES,
}
