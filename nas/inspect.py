"""`python -m nas.inspect space=S`: what a space offers, and whether its card is sound, before anything is measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from omegaconf import DictConfig

from nas.data.space import build_space
from nas.derive.settings import COST_BUDGET_TYPES
from nas.latency.devices import TargetDevice, check_card, device_of
from nas.latency.tables.table import LatencyTable, all_entries, entries
from nas.methods.base import kind_of
from nas.methods.elastic.places import ElasticPlan, NoEnvelope
from nas.terminal.command_help import options
from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import CONF
from nas.terminal.entry import check_types, entry, instantiate, plain
from nas.terminal.progress import log, table
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.memory.counted import Counted, amount
from search_spaces.pricing.genotype_cost import GenotypeCost
from search_spaces.space import LayerwiseSpace, SearchSpace

if TYPE_CHECKING:
    from search_spaces.pricing.limits import Limit

TYPES: dict[str, Any] = {**COST_BUDGET_TYPES, "samples": (int, 1), "seed": int, "tables": str}
SETTINGS = ("budget.", "samples=", "seed=")  # of this command, not of the one that measures


def stage_rows(space: SearchSpace) -> list[tuple[str, str, str, int]]:
    """Per stage: its number, the shapes that reach it, the variables that decide it, rows of a latency table.

    Shapes are channels x height x width, smallest to largest.
    """
    shapes: dict[int, set[Shape]] = {}
    choices: dict[int, dict[str, int]] = {}
    rows: dict[int, set[tuple[Layer, Shape]]] = {}
    for term, walks in zip(space.terms, space.walks, strict=True):
        steps = [step for run in walks.values for step in run]
        shapes.setdefault(term.stage, {shape for _, shape in steps})
        rows.setdefault(term.stage, set()).update(steps)
        named = choices.setdefault(term.stage, {})
        named.update({space.variables[v].name: len(space.variables[v]) for v in term.variables})
    found = []
    for stage, reached in shapes.items():
        ends = sorted({min(reached), max(reached)})
        text = " to ".join("x".join(map(str, shape)) for shape in ends)
        decided = ", ".join(f"{name} ({count})" for name, count in choices[stage].items())
        found.append((str(stage), text, decided or "fixed", len(rows[stage])))
    return found


def figures(space: SearchSpace) -> list[tuple[str, str]]:
    """Kind, methods, size, table rows, and whether candidates can inherit weights."""
    kind = "one layer a choice" if isinstance(space, LayerwiseSpace) else "several layers a choice"
    found = [
        ("kind", kind),
        ("methods", ", ".join(methods_for(space))),
        ("genotypes", f"{space.size:,}" if space.size < 1e9 else f"{space.size:.4g}"),
        ("rows of a latency table", _rows(space)),
        ("search.scorer=elastic", envelope_of(space)),
    ]
    return found


def envelope_of(space: SearchSpace) -> str:
    """Whether one largest network holds all archs of `space` as slices; where not, why."""
    try:
        places = ElasticPlan(space).places
    except NoEnvelope as refusal:
        return f"no: {refusal.reason}"
    count = sum(len(place.envelopes) for place in places)
    return f"yes: all are slices of one network of {count} blocks"


def costs_of(space: SearchSpace, counted: Counted, priced: LatencyTable | None) -> dict[str, GenotypeCost]:
    """By the name of its budget, every cost of the networks of `space` that is known before anything is measured.

    `priced`: the table of the device, where there is one.
    """
    found: dict[str, GenotypeCost] = {
        "params": space.count("params"),
        "macs": space.count("macs"),
        "memory_kib": space.memory_kib(counted),
        "weights_kib": space.weights_kib(counted),
    }
    if priced is not None:
        found["latency_ms"] = priced.cost(space)
        if priced.has_energy:
            found["energy_mj"] = priced.energy(space)
    return found


def cost_rows(costs: Mapping[str, GenotypeCost], population: np.ndarray) -> list[tuple[str, str, str, str]]:
    """Per cost: its name, its smallest value, the median over `population` (n, genes), its largest value."""
    rows = []
    for name, cost in costs.items():
        low, high = cost.reachable()
        values = (low, float(np.median(cost(population))), high)
        least, middle, most = (_shown(name, value) for value in values)
        rows.append((name, least, middle, most))
    return rows


def budget_rows(limits: Sequence[Limit], population: np.ndarray) -> list[tuple[str, str, str, str]]:
    """Per budget: its name, what is asked, the least it could be under the others, how many of `population` meet it.

    A last row counts those that meet all. Raises `ValueError` where no network does, with what each could be.
    """
    from search_spaces.pricing.limits import cheapest_within, find_anchor

    find_anchor(limits, population.shape[1])
    rows = []
    within = np.ones(len(population), dtype=bool)
    for limit in limits:
        least = cheapest_within(limit.cost, [other for other in limits if other is not limit])
        assert least is not None  # one meets all
        meets = limit.cost(population) <= limit.limit
        within &= meets
        asked, could_be = (_shown(limit.name, value) for value in (limit.limit, limit.value(least)))
        rows.append((limit.name, asked, could_be, f"{100 * meets.mean():.3g}%"))
    return [*rows, ("all of them", "", "", f"{100 * within.mean():.3g}%")]


def _shown(name: str, value: float) -> str:
    return f"{value:,.0f}" if name in ("params", "macs") else amount(value)


def _priced(space: SearchSpace, device: TargetDevice, folder: str) -> LatencyTable | None:
    """The table of the device that is there, None where none is."""
    path = device.table_path(space, folder)
    return LatencyTable.load(path, space, device.key) if Path(path).exists() else None


def _rows(space: SearchSpace) -> str:
    measured, rows = len(entries(space)), len(all_entries(space))
    return f"{rows:,}" if measured == rows else f"{rows:,}, {measured:,} of them measured, the others interpolated"


def methods_for(space: SearchSpace) -> list[str]:
    """The cards of the methods that can search `space` as it is."""
    found = []
    for name in options("method"):
        card = yaml.safe_load((CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8"))
        if kind_of(cards.find_target(card["_target_"])) == "supernet":  # the others search every space
            try:
                cards.build(card, "method", {}).check(space)
            except ValueError:
                continue
        found.append(name)
    return found


@entry("inspect")
def main(cfg: DictConfig) -> None:
    check_types(cfg, TYPES)
    config = plain(cfg)
    check_card(config["device"], measured=False)
    space, asked = build_space(config["space"]), config["budget"]
    device = device_of(instantiate(cfg.device))
    counted = Counted(asked["dtype"] or device.key.dtype, asked["in_place"])
    priced = _priced(space, device, config["tables"])
    costs = costs_of(space, counted, priced)
    limits = _limits(costs, {name: asked[name] for name in asked if name not in ("dtype", "in_place")}, device)
    population = space.sample(config["samples"], np.random.default_rng(config["seed"]))
    table(f"{space.name}: stages", ("stage", "input shapes", "decided by (choices)", "rows"), stage_rows(space))
    table(space.name, ("", ""), figures(space))
    table(f"{space.name}: costs of its networks", ("budget.", "min", "middle", "max"), cost_rows(costs, population))
    log(
        f"middle: the median of {config['samples']:,} random networks; memory and weights in {counted.dtype}, "
        f"in place: {counted.in_place}"
        + ("" if priced else f"; no latency table of {device.key} in {config['tables']}")
    )
    if limits:
        headings = ("budget.", "asked", "least under the others", "met by")
        table(f"{space.name}: networks within the budgets", headings, budget_rows(limits, population))
    words = [word for word in sys.argv[1:] if not word.startswith(SETTINGS)]
    again = shlex.join(["python", "-m", "nas.latency", *words])
    log(f"next, to measure its {len(entries(space)):,} rows: {again}")


def _limits(costs: Mapping[str, GenotypeCost], asked: Mapping[str, float | None], device: TargetDevice) -> list[Limit]:
    """The budgets asked. Raises `ValueError` for one on what no table here says."""
    wanted = {name: float(most) for name, most in asked.items() if most is not None}
    if not wanted:
        return []
    from search_spaces.pricing.limits import Limit  # here: it takes a solver along

    for name in wanted:
        if name not in costs:
            raise ValueError(
                f"budget.{name} is held by a table of {device.key}, and none here says it; build or import one"
            )
    return [Limit(name, costs[name], most) for name, most in wanted.items()]


if __name__ == "__main__":
    main()
