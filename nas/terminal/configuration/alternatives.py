"""Settings of which one leaves another without meaning: who gives both is told, instead of getting one of the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FRACTION = "budget.fraction"
COUNTS_ALONE = {  # by command, the budgets beside which a fraction of the reachable latency does not count
    "search": ("latency_ms", "macs", "params", "memory_kib", "weights_kib", "energy_mj"),
    "derive": ("latency_ms",),
}


def check_alternatives(command: str, given: Mapping[str, Any]) -> None:
    """Raise `ValueError` where `given`, settings of `command` by their keys, holds a fraction and a budget beside which
    it does not count."""
    fraction = given.get(FRACTION)
    if fraction is None:
        return
    for key in (f"budget.{name}" for name in COUNTS_ALONE.get(command, ())):
        if given.get(key) is None:
            continue
        fix = "leave one of the two out" if key == "budget.latency_ms" else "ask for a latency by budget.latency_ms=..."
        raise ValueError(f"{FRACTION}={fraction} does not count beside {key}={given[key]}; {fix}")
