"""Whether an accuracy is more than guessing; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NEAR = 0.1  # of the way from guessing to a network without a fault


def is_near_guessing(found: Mapping[str, Any]) -> bool:
    """Whether `top1_percent` of the results `found` has less than `NEAR` of the way from `guessing_percent` to 100
    behind it: the network has learnt next to nothing. False where either is not known."""
    top1, guessing = found.get("top1_percent"), found.get("guessing_percent")
    return top1 is not None and guessing is not None and top1 < guessing + NEAR * (100 - guessing)


def accuracy_words(found: Mapping[str, Any]) -> str:
    """The top-1 accuracy of the results `found` for a receipt, beside guessing where it is little more."""
    more = f" (NEAR GUESSING, which has {found['guessing_percent']:.3g}%)" if is_near_guessing(found) else ""
    return f"{found['top1_percent']:.2f}% top-1{more}"


def top5_words(top5_percent: float, num_classes: int) -> str:
    """`, 98.10% top-5` for a receipt; empty where there are no more than five classes, since all are among the five."""
    return f", {top5_percent:.2f}% top-5" if num_classes > 5 else ""
