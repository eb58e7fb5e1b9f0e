"""Images and labels: fixed, seeded, disjoint splits, held as bytes and augmented a batch at a time."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.data.augment import AUGMENTS
    from nas.data.images import ImageData
    from nas.data.split import Split

__all__ = ["AUGMENTS", "ImageData", "Split"]

_HOMES = {"AUGMENTS": "augment", "ImageData": "images", "Split": "split"}


def __getattr__(name: str) -> Any:  # what these import takes seconds, and help and cards do without
    if name in _HOMES:
        return getattr(importlib.import_module(f"nas.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'nas.data' has no attribute {name!r}")
