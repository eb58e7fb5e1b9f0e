"""Types and ranges of the settings in `conf/train.yaml`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from nas.runs.keeping.settings import KEEPING_TYPES
from search_spaces.plain_data.annotations import AboveZero, Range

Pieces = Annotated[int, Range(1)] | Literal["auto"]
Where = Literal["auto", "cpu", "cuda"]
Precision = Literal["no", "bf16", "fp16"]
Portion = Annotated[float, Range(0, 1, above=True)]
TEACHER_TYPES: dict[str, Any] = {  # None in runs from before there were teachers
    "teacher": str | None,
    "teacher_weights": str | None,
    "distill_temperature": AboveZero | None,
    "distill_alpha": Portion | None,
}
COMPUTE_TYPES: dict[str, Any] = {"accelerator": Where, "precision": Precision}
TYPES: dict[str, Any] = {
    "arch": str,
    "initial_weights": str | None,
    **TEACHER_TYPES,
    "evaluate_every": (int, 0),
    "seed": int,
    **COMPUTE_TYPES,
    "sync_batch_norm": bool | None,
    "accumulate": Pieces | None,
    "freeze": str | list[str] | None,
    "layer_decay": Portion | None,
    "quantize": Literal["int8"] | None,
    "compile": bool | None,
    "trackers": list[str] | None,
    **KEEPING_TYPES,
}
