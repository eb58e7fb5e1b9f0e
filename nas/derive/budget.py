"""Budgets: what was asked, and the limits on estimates and counts that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nas.derive.settings import check_budget
from nas.latency.tables.table import LatencyTable
from search_spaces.memory.counted import Counted
from search_spaces.memory.tape import InPlace
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.genotype_cost import GenotypeCost
from search_spaces.pricing.limits import Limit, find_anchor, reach_within
from search_spaces.space import SearchSpace

COUNTED = ("macs", "params", "memory_kib", "weights_kib")  # budgets that an arch alone decides
PLAIN = Counted()
OTHERS = (*COUNTED, "energy_mj")  # all but that on latency


@dataclass(frozen=True)
class BudgetRequest:
    """Budgets as they are asked; None: not asked.

    `latency_ms` (milliseconds), else the point `fraction` of the reachable range; at most `macs` (multiply-adds of one
    image), `params`, `memory_kib` (activations alive at once, one image), `weights_kib`, `energy_mj` (of one image, by
    the device's table). `dtype` and `in_place`: how memory and weights are counted (None: as the device computes, and
    element-wise operators in place). `margin`: share kept free for the table's error (None: the table's own figure).
    `tolerance`: share by which a measurement may exceed the budget (None: none, or a search's own). At most `rounds`
    networks are measured until one fits.
    """

    latency_ms: float | None = None
    fraction: float | None = None
    macs: int | None = None
    params: int | None = None
    margin: float | None = None
    tolerance: float | None = 0.0
    rounds: int = 5
    memory_kib: float | None = None
    weights_kib: float | None = None
    energy_mj: float | None = None
    dtype: str | None = None
    in_place: InPlace | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """The budgets asked but for that on latency."""
        return tuple(name for name in OTHERS if getattr(self, name) is not None)

    def counted_like(self, before: Counted) -> Counted:
        """How they are counted now, by default as `before`."""
        return Counted(self.dtype or before.dtype, self.in_place or before.in_place)

    def counted(self, dtype: str) -> Counted:
        """How memory and weights are counted on a device that computes in `dtype`."""
        return Counted(self.dtype or dtype, self.in_place or "element_wise")


@dataclass(frozen=True)
class Budget:
    """A latency budget: what was asked, and the limit on the *estimate* that leaves room for the table's error.

    All in milliseconds. `limit_ms = asked_ms / (1 + margin)`, but never below the cheapest network. `tolerance`: the
    share by which a measurement may exceed the budget and count as within it all the same. `nearby`: networks measured
    near the budget whose margin it is; 0: it is the table's own, or was asked.
    """

    asked_ms: float
    limit_ms: float
    margin: float
    low_ms: float
    high_ms: float
    tolerance: float = 0.0
    nearby: int = 0

    @property
    def ceiling_ms(self) -> float:
        """The largest measurement that is within the budget."""
        return self.asked_ms * (1 + self.tolerance)


def count_limits(space: SearchSpace, asked: BudgetRequest, counted: Counted = PLAIN) -> list[Limit]:
    """The budgets asked on what an arch alone decides, for one image. Raises `ValueError` for those out of reach."""
    limits = []
    for name in COUNTED:
        most = getattr(asked, name)
        if most is None:
            continue
        if not most > 0:
            least = ">= 1" if isinstance(most, int) else "more than 0"
            raise ValueError(f"budget.{name} must be {least}, got {most:g}")
        limits.append(Limit(name, cost_of(space, name, counted), float(most)))
    find_anchor(limits, len(space.variables))
    return limits


def cost_of(space: SearchSpace, name: str, counted: Counted) -> GenotypeCost:
    """What the networks of `space` cost of `name`, one of `COUNTED`."""
    if name == "memory_kib":
        return space.memory_kib(counted)
    if name == "weights_kib":
        return space.weights_kib(counted)
    return space.count("macs" if name == "macs" else "params")


def energy_limit(space: SearchSpace, asked: BudgetRequest, table: LatencyTable | None) -> list[Limit]:
    """The budget asked on energy, by the figures of `table`. Raises `ValueError` where it has none."""
    if asked.energy_mj is None:
        return []
    if table is None:
        raise ValueError("budget.energy_mj is held by the figures of a latency table, and there is none here")
    return [Limit("energy_mj", table.energy(space), asked.energy_mj)]


def resolve_budget(
    cost: AdditiveCost, asked: BudgetRequest, fraction: float | None, margin: float, others: Sequence[Limit] = ()
) -> Budget | None:
    """The budget asked by `latency_ms`, else the point `fraction` of the reachable range; None where both are None.

    The range is that of the networks within `others`. Raises `ValueError` with it for a budget that none of them meets.
    """
    latency_ms = asked.latency_ms
    if latency_ms is None and fraction is None:
        find_anchor(others, len(cost.cardinalities))
        return None
    if margin < 0:
        raise ValueError(f"budget.margin must be >= 0, got {margin:g}")
    low, high = cost.reachable()
    if latency_ms is None:
        assert fraction is not None
        if not 0 <= fraction <= 1:
            raise ValueError(f"budget.fraction must lie between 0 and 1, got {fraction:g}")
        latency_ms = low + fraction * (high - low)
    check_budget(latency_ms)
    if latency_ms < low:
        raise ValueError(
            f"budget.latency_ms={latency_ms:.4g} is out of reach: networks of this space take {low:.4g} to {high:.4g} "
            "ms on this device"
        )
    if others:
        find_anchor([Limit("latency_ms", cost, latency_ms), *others], len(cost.cardinalities))
        within = reach_within(cost, others)
        assert within is not None  # one was found
        low, high = within
    return Budget(latency_ms, max(low, latency_ms / (1 + margin)), margin, low, high, asked.tolerance or 0.0)
