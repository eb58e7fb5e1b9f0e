"""Putting a search problem together: a space for the data at hand, and a budget that the space can meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas import cards
from nas.data import ImageData
from search_spaces.additive import AdditiveCost
from search_spaces.space import LayerwiseSpace, SearchSpace

FROM_DATA = ("resolution", "num_classes", "in_channels")


def build_space(card: Mapping[str, Any], data: ImageData | None = None) -> SearchSpace:
    """The space of `card`. Keys left null take the data's value; without data, the space's own default."""
    values = {key: value for key, value in card.items() if not (key in FROM_DATA and value is None)}
    if data is not None:
        for key in FROM_DATA:
            if key in card:
                values.setdefault(key, getattr(data, key))
        for key in ("num_classes", "in_channels"):
            if key in values and values[key] != getattr(data, key):
                raise ValueError(
                    f"space.{key} is {values[key]}, but {data.name} has {getattr(data, key)}; leave it out"
                )
    space = cards.build(values, "space", {})
    assert isinstance(space, SearchSpace)
    return space


def layerwise(space: SearchSpace) -> LayerwiseSpace:
    """`space`, which must be layer-wise: supernets need candidates of equal output shape per position."""
    if not isinstance(space, LayerwiseSpace):
        raise ValueError(f"this method needs a layer-wise space (such as fbnet); {space.name} is not one")
    return space


@dataclass(frozen=True)
class Budget:
    """A latency budget: what was asked, and the limit on the *estimate* that leaves room for the table's error.

    All in milliseconds. `limit_ms = asked_ms / (1 + margin)`, but never below the cheapest network.
    """

    asked_ms: float
    limit_ms: float
    margin: float
    low_ms: float
    high_ms: float


def resolve_budget(
    cost: AdditiveCost, latency_ms: float | None, fraction: float | None, margin: float
) -> Budget | None:
    """The budget asked by `latency_ms`, else the point `fraction` of the reachable range; None where both are None.

    Raises `ValueError` with the reachable range for a budget that no network of the space meets.
    """
    low, high = cost.reachable()
    if latency_ms is None:
        if fraction is None:
            return None
        if not 0 <= fraction <= 1:
            raise ValueError(f"budget.fraction must lie between 0 and 1, got {fraction:g}")
        latency_ms = low + fraction * (high - low)
    check_budget(latency_ms)
    if margin < 0:
        raise ValueError(f"budget.margin must be >= 0, got {margin:g}")
    if latency_ms < low:
        raise ValueError(
            f"budget.latency_ms={latency_ms:.4g} is out of reach: networks of this space take {low:.4g} to {high:.4g} "
            "ms on this device"
        )
    return Budget(latency_ms, max(low, latency_ms / (1 + margin)), margin, low, high)


def check_budget(latency_ms: float | None) -> None:
    """Refuse a budget that is no positive number, before anything is measured."""
    if latency_ms is not None and not 0 < latency_ms < float("inf"):
        raise ValueError(f"budget.latency_ms must be a positive number of milliseconds, got {latency_ms:g}")
