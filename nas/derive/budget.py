"""Budgets: what was asked, and the limits on estimates and counts that follow."""

from __future__ import annotations

from dataclasses import dataclass

from nas.derive.settings import check_budget
from search_spaces.costs import Count
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.budgets import Limit, find_anchor
from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class BudgetRequest:
    """Budgets as they are asked; None: not asked.

    `latency_ms` (milliseconds), else the point `fraction` of the reachable range; `macs` (multiply-adds of one image)
    and `params` at most. `margin`: share kept free for the table's error (None: the table's own figure). `tolerance`:
    share by which a measurement may exceed the budget. At most `rounds` networks are measured until one fits.
    """

    latency_ms: float | None = None
    fraction: float | None = None
    macs: int | None = None
    params: int | None = None
    margin: float | None = None
    tolerance: float = 0.0
    rounds: int = 5


@dataclass(frozen=True)
class Budget:
    """A latency budget: what was asked, and the limit on the *estimate* that leaves room for the table's error.

    All in milliseconds. `limit_ms = asked_ms / (1 + margin)`, but never below the cheapest network. `tolerance`: the
    share by which a measurement may exceed the budget and count as within it all the same.
    """

    asked_ms: float
    limit_ms: float
    margin: float
    low_ms: float
    high_ms: float
    tolerance: float = 0.0

    @property
    def ceiling_ms(self) -> float:
        """The largest measurement that is within the budget."""
        return self.asked_ms * (1 + self.tolerance)


def count_limits(space: SearchSpace, macs: int | None, params: int | None) -> list[Limit]:
    """The budgets asked on multiply-adds and parameters, for one image. Raises `ValueError` for one out of reach."""
    limits = []
    budgets: tuple[tuple[Count, int | None], ...] = (("macs", macs), ("params", params))
    for name, asked in budgets:
        if asked is None:
            continue
        if asked < 1:
            raise ValueError(f"budget.{name} must be >= 1, got {asked}")
        limits.append(Limit(name, space.count(name), float(asked)))
    find_anchor(limits, len(space.variables))
    return limits


def resolve_budget(
    cost: AdditiveCost, latency_ms: float | None, fraction: float | None, margin: float, tolerance: float = 0.0
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
    return Budget(latency_ms, max(low, latency_ms / (1 + margin)), margin, low, high, tolerance)
