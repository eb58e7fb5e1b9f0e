"""What the networks of a search cost: its latency table, its budgets, and how networks are timed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.derive.budget import Budget, energy_limit, resolve_budget
from nas.derive.handover import clock_of, measure_of
from nas.derive.settings import TABLE
from nas.derive.verdict import NOT_ASKED, Asked, why_not_measured
from nas.derive.within_budget import Clock
from nas.latency.devices import TargetDevice
from nas.latency.tables.table import NO_ENERGY, LatencyTable
from nas.methods.base import is_supernet
from nas.runs.metrics import read_metrics
from nas.search.contest.settings import LEAST_EPOCHS, LEAST_IMAGES, MOST
from nas.search.pricing.nearby import FROM, begun, measure_nearby, with_margin_nearby
from nas.search.setup import SearchSetup
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.budgets import Limit

BEGUN = ("trials.db", "trials.json")  # of a run: candidates that were proposed


@dataclass(frozen=True)
class Prices:
    """The table of `device` and what follows from it; `table`, `cost` and `device` are None where no latency is asked
    for."""

    table: LatencyTable | None
    cost: AdditiveCost | None
    device: TargetDevice | None
    budgets: Asked
    clock: Clock

    @property
    def budget(self) -> Budget | None:
        """The budget on latency."""
        return self.budgets.latency

    def not_measured(self, run: Path) -> str | None:
        """Why networks of `run` have no measured latency, in words; None where they are measured."""
        if self.device is None or self.table is None:
            return NOT_ASKED
        return why_not_measured(self.device, self.table, run)

    @property
    def limits(self) -> list[Limit]:
        """All budgets as limits, that on the estimated latency first."""
        latency = [Limit("latency_ms", self.cost, self.budget.limit_ms)] if self.cost and self.budget else []
        return [*latency, *self.budgets.others]


def price(folder: Path, setup: SearchSetup) -> Prices:
    """Measure the device, or take its table from the run in `folder`, and resolve the budgets."""
    space, asked = setup.problem.space, setup.budget
    device, table = _of_run(folder, setup) if setup.is_timed else (None, None)
    cost = table.cost(space) if table else None
    others = [*setup.counts, *energy_limit(space, asked, table)]
    budget, energy = None, None
    if table is not None and cost is not None:
        margin = table.margin if asked.margin is None else asked.margin
        fraction = None if others else asked.fraction  # it holds only where no other cost has a budget
        budget = resolve_budget(cost, asked, fraction, margin, others)
        if budget is not None:
            asked_of_all = [Limit("latency_ms", cost, budget.asked_ms), *others]
            _look_nearby(folder, setup, device, table, asked_of_all)
            budget = with_margin_nearby(folder, budget, table, asked_of_all) if begun(folder) else budget
        energy = table.energy(space) if table.has_energy else None
    measure = measure_of(device, table, folder, setup.seed) if device is not None and table is not None else None
    clock = clock_of(space, cost, measure)
    return Prices(table, cost, device, Asked(budget, tuple(others), setup.counted, energy), clock)


def _look_nearby(
    folder: Path, setup: SearchSetup, device: TargetDevice | None, table: LatencyTable, limits: list[Limit]
) -> None:
    """Measure networks near the budget of a search that begins and trains candidates, where its table is not near
    enough to say which are within it: a supernet's derivation measures afterwards how far it may go."""
    known = setup.budget.margin is not None or table.margin <= FROM or is_supernet(setup.method)
    if known or begun(folder) or _has_begun(folder) or device is None or device.not_measured(table) is not None:
        return
    measure_nearby(folder, setup.problem.space, device, table, limits, setup.seed)


def _has_begun(folder: Path) -> bool:
    """Whether the search in `folder` has proposed candidates already, by the margin that its table has."""
    return any((folder / name).exists() for name in BEGUN) or any(r["phase"] == "search" for r in read_metrics(folder))


def _of_run(folder: Path, setup: SearchSetup) -> tuple[TargetDevice, LatencyTable]:
    """The device and its table, copied into the run: a resumed run prices with the very numbers it began with."""
    path, space = folder / TABLE, setup.problem.space.architectures
    if not path.exists():
        there = setup.device.table_path(space, setup.paths.tables)
        if setup.budget.energy_mj is not None and not there.exists():  # none that is measured now would have it
            raise ValueError(f"a table of {setup.device.key} that is measured now {NO_ENERGY}")
        setup.device.table(space, setup.paths.tables).save(path)
    device = setup.device.of_run(path)
    return device, LatencyTable.load(path, space, device.key)


def intention(setup: SearchSetup, prices: Prices) -> str:
    """What is about to be searched, for the log."""
    space, data, table, budget = setup.problem.space, setup.problem.data, prices.table, prices.budget
    images = "x".join(map(str, data.input_shape))
    recipes = f" times {space.recipes.size:.2g} recipes" if space.recipes.variables else ""
    networks = f"{space.architectures.size:.2g} networks{recipes}"
    parts = [f"{space.name}: {networks} on {data.name} ({images}, {data.num_classes} classes)"]
    parts.append(f"device {table.device.key}" if table else "no latency is asked for, none is measured")
    if table and table.proof:
        parts.append(f"table: {table.proof.sentence()}")
    if table and prices.device and (why := prices.device.not_measured(table)):
        parts.append(f"NOTE: no network will be measured, estimates decide alone: {why}")
    if budget:
        own = "" if table is None else f"; the table's own is {100 * table.margin:.1f}%"
        near = f", of {budget.nearby} networks measured near it{own}" if budget.nearby else ""
        parts.append(
            f"budget {budget.asked_ms:.4g} ms of {budget.low_ms:.4g} to {budget.high_ms:.4g} ms reachable; "
            f"estimates are kept below {budget.limit_ms:.4g} ms (margin {100 * budget.margin:.1f}%{near})"
        )
    if note := _short_trainings(setup):
        parts.append(note)
    if (few := setup.candidates.images) is not None:
        parts.append(f"candidates train on {few:,} of the {len(setup.problem.data.train):,} training images")
    if setup.contestants:
        parts.append(setup.plan(setup.contestants).sentence())
    elif setup.contest.networks is None and setup.contest_hindrance is None:
        parts.append(
            f"no contest: it takes {LEAST_EPOCHS} epochs and {LEAST_IMAGES} validation images to tell networks apart, "
            f"here are fewer; derive.contest={MOST} holds one all the same"
        )
    return "\n".join(parts)


def _short_trainings(setup: SearchSetup) -> str | None:
    """What is to be said of candidates that are trained for less than half of their recipe's epochs."""
    own, whole = setup.candidates.epochs, setup.recipe.epochs
    if is_supernet(setup.method) or setup.is_elastic or own is None or 2 * own >= whole:
        return None
    return (
        f"NOTE: candidates train for {own} of the recipe's {whole} epochs: where it was measured, scores of a fifth of "
        f"a training ranked good networks by chance, those of a half did better; search.epochs={-(-whole // 2)}"
    )
