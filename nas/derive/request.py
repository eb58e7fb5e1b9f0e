"""What `nas.derive` is asked of a run, whatever its method: budgets and clock before, files and words after."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.derive.budget import Budget, count_limits, resolve_budget
from nas.derive.handover import clock_of
from nas.derive.verdict import NOT_WANTED, Asked, not_measured, say_missed
from nas.derive.within_budget import Clock, Derived
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_json, write_text
from nas.terminal.configuration import cards
from nas.terminal.next_command import train_command
from nas.terminal.progress import log, table
from search_spaces.additive import AdditiveCost
from search_spaces.budgets import Limit
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype, SearchSpace

BUDGETS = ("latency_ms", "fraction", "macs", "params")


@dataclass(frozen=True)
class Request:
    """Budgets and how to time networks of `folder`'s space; `unmeasured`: why none is measured (None: they are).

    `limits`: the budgets as a search takes them, that on latency with its margin. `count` networks go to `out`.
    """

    folder: Path
    config: Mapping[str, Any]
    budgets: Asked
    limits: tuple[Limit, ...]
    cost: AdditiveCost | None
    clock: Clock
    unmeasured: str | None
    device: str | None
    count: int
    out: Path

    @staticmethod
    def of(
        folder: Path, config: Mapping[str, Any], asked: Mapping[str, Any], space: SearchSpace, archs: SearchSpace
    ) -> Request:
        """The request `asked` of the run in `folder`; `archs` are what its table prices, `space` what was searched.

        Without a budget the run's own holds. Raises `ValueError` for budgets out of reach, for one on latency where the
        run has no table, and where the output would fall into a run directory.
        """
        own = all(asked["budget"][name] is None for name in BUDGETS)
        latency_ms, fraction, macs, params = ((config if own else asked)["budget"].get(name) for name in BUDGETS)
        counts = count_limits(space, macs, params)
        path = folder / "table.json"
        if path.exists():
            device: Device | None = cards.build(config["device"], "device", {})
            latency_table = LatencyTable.load(path, archs, device)
            cost = latency_table.cost(space)
            unmeasured = not_measured(latency_table) if asked["measure"] else NOT_WANTED
            margin = latency_table.margin if asked["budget"]["margin"] is None else asked["budget"]["margin"]
            if own and counts:  # the run's own fraction holds only where no other cost has a budget
                fraction = None
            budget = resolve_budget(cost, latency_ms, fraction, margin, asked["budget"]["tolerance"])
        else:
            if not own and (latency_ms is not None or fraction is not None):
                raise ValueError(f"{folder} has no latency table: none was asked for; search again with latency=on")
            device, cost, unmeasured, budget = None, None, not_measured(None), None
        clock = clock_of(space, cost, device if unmeasured is None else None, asked["seed"])
        limits = [Limit("latency_ms", cost, budget.limit_ms)] if cost and budget else []
        return Request(
            folder,
            config,
            Asked(budget, macs, params),
            (*limits, *counts),
            cost,
            clock,
            unmeasured,
            device.key if device else None,
            asked["count"],
            _out(folder, asked["out"], budget, counts),
        )


def hand_over(
    request: Request,
    derived: Derived,
    space: SearchSpace,
    heading: str,
    facts: Callable[[Genotype], Mapping[str, Any]],
    recipe_of: Callable[[Genotype], Recipe | None],
    write_recipes: bool = False,
) -> int:
    """Write the networks, a record of each in `derived.json`, and show them; exit status 1 where a budget is missed.

    `facts(genotype)`: what the method says of a network, its score, shown under `heading`, first.
    """
    budgets, out = request.budgets, request.out
    missed = budgets.shortfalls(derived.first, space.decode(derived.first.genotype))
    if missed:
        say_missed(missed, "raise it, or give the search more to choose from; exit status 1")
    _remove_earlier(out)
    rows, records = [], []
    for i, network in enumerate(derived.networks, start=1):
        arch = space.decode(network.genotype)
        suffix = "" if i == 1 else f"-{i}"
        path = write_text(out / f"arch{suffix}.json", arch.to_json())
        if write_recipes and (recipe := recipe_of(network.genotype)):
            write_text(out / f"recipe{suffix}.json", json.dumps(recipe.to_dict(), indent=1) + "\n")
        known = facts(network.genotype)
        records.append(
            {
                "file": path.name,
                "arch": arch.id,
                "genotype": list(network.genotype),
                **known,
                "asked_latency_ms": budgets.latency.asked_ms if budgets.latency else None,
                "estimated_latency_ms": network.estimated_ms,
                "measured_latency_ms": network.measured_ms,
                "not_measured": request.unmeasured,
                "asked_macs": budgets.macs,
                "asked_params": budgets.params,
                "budget_met": budgets.met(network, arch),
                "params": arch.params,
                "macs": arch.macs,
            }
        )
        times = ("–" if ms is None else f"{ms:#.4g}" for ms in (network.estimated_ms, network.measured_ms))
        rows.append((path.name, f"{next(iter(known.values())):.2f}", *times, f"{arch.params:,}", f"{arch.macs:,}"))
    write_json(out / "derived.json", records)
    within = f" within {budgets.latency.asked_ms:.4g} ms on {request.device}" if budgets.latency else ""
    title = f"networks of {request.folder}{within}"
    table(title, ("file", heading, "estimated ms", "measured ms", "params", "MACs"), rows)
    if request.unmeasured and request.unmeasured != NOT_WANTED and request.cost is not None:
        log(f"NOTE: not measured, estimates decide alone: {request.unmeasured}")
    if len(rows) < request.count:
        log(f"NOTE: {request.count} were asked; there are no more than these {len(rows)} within the budget")
    log(f"files: {out}")
    log(train_command(out / "arch.json", request.config, recipe_of(derived.first.genotype)))
    return 1 if missed else 0


def _out(folder: Path, given: str | None, budget: Budget | None, counts: list[Limit]) -> Path:
    """Where the networks go: `given`, else a folder in the run that is called after the budget."""
    if given is None:
        parts = [f"{budget.asked_ms:.4g}ms"] if budget else []
        parts += [f"{limit.limit:.0f}{limit.name}" for limit in counts]
        return folder / "-".join(["derived", *parts])
    if (Path(given) / "config.yaml").exists():
        raise ValueError(f"out={given} is a run directory, whose own arch.json stays; name another folder")
    return Path(given)


def _remove_earlier(out: Path) -> None:
    """Remove the networks that an earlier derivation wrote to `out`, so that none stands beside others' records."""
    if (out / "derived.json").exists():
        for path in out.glob("*.json"):
            if re.fullmatch(r"(arch|recipe)(-\d+)?\.json", path.name):
                path.unlink()
