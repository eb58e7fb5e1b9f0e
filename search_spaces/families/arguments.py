"""What the numbers that families of networks and spaces are called with must obey."""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_multipliers(**multipliers: float) -> None:
    """Raise `ValueError` for a multiplier that is not positive and finite."""
    for name, value in multipliers.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be a finite number > 0, got {value}")


def check_choices(**lists: Sequence[float]) -> None:
    """Raise `ValueError` for a list that is empty or holds a number twice or one that is not positive and finite."""
    for name, numbers in lists.items():
        if not numbers or len(set(numbers)) != len(numbers) or not all(0 < number < math.inf for number in numbers):
            raise ValueError(f"{name} must list different finite numbers > 0, got {list(numbers)}")
