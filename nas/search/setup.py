"""What a search needs before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Latency = Literal["auto", "on", "off"]


def needs_latency(latency: str, asked: Mapping[str, Any], supernet: bool) -> bool:
    """Whether a search needs the device's latency table, by the key `latency` and its budgets.

    `auto`: where a budget or a supernet's steering asks for it; `on`: always; `off`: never. Raises `ValueError` where
    `off` contradicts what is asked.
    """
    if latency == "off":
        if asked["latency_ms"] is not None:
            raise ValueError("latency=off leaves nothing to hold budget.latency_ms by; leave one of the two out")
        if supernet:
            raise ValueError("latency=off: this method is steered by the latency table; use method=predictor or random")
        return False
    counted = asked["macs"] is not None or asked["params"] is not None
    by_default = asked["fraction"] is not None and not counted
    return latency == "on" or supernet or asked["latency_ms"] is not None or by_default
