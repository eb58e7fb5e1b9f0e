"""What `nas.derive` is asked of a run, whatever its method: budgets and clock before, files and words after."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.derive.budget import Budget, BudgetRequest, count_limits, energy_limit, resolve_budget
from nas.derive.handover import clock_of, measure_of
from nas.derive.settings import check_tabled
from nas.derive.setup import BUDGETS, DeriveSetup, FinishedSearch
from nas.derive.verdict import NOT_ASKED, NOT_WANTED, Asked, say_missed, why_not_measured
from nas.derive.within_budget import Clock, Derived
from nas.latency.devices import TargetDevice
from nas.latency.tables.table import LatencyTable
from nas.networks import CONFIG
from nas.runs.files import write_json, write_text
from nas.terminal.next_command import train_command
from nas.terminal.notebook.outcome import as_html
from nas.terminal.progress import log, table
from search_spaces.arch import Arch
from search_spaces.memory.counted import amount
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.limits import Limit, as_typed
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype

DERIVED = "derived.json"


@dataclass(frozen=True)
class Request:
    """Budgets and how to time the networks of `setup`; `unmeasured`: why none is measured (None: they are).

    `limits`: the budgets as a search takes them, that on latency with its margin. The networks go to `out`.
    """

    setup: DeriveSetup
    budgets: Asked
    limits: tuple[Limit, ...]
    cost: AdditiveCost | None
    clock: Clock
    unmeasured: str | None
    out: Path

    @property
    def search(self) -> FinishedSearch:
        """Whose networks they are."""
        return self.setup.search

    @staticmethod
    def of(setup: DeriveSetup) -> Request:
        """What `setup` asks. Without a budget the run's own holds.

        Raises `ValueError` for budgets out of reach, for one on latency where the run has no table, and where the
        output would fall into a run directory.
        """
        search, asked = setup.search, setup.budget
        folder, space, device = search.folder, search.space, search.device
        own = all(getattr(asked, name) is None for name in BUDGETS)
        wanted = search.budget if own else asked
        counted = asked.counted_like(search.counted)
        others = count_limits(space, wanted, counted)
        table, cost, measure, budget = None, None, None, None
        unmeasured: str | None = NOT_ASKED
        if device is not None:
            table = LatencyTable.load(search.table, search.archs, device.key)
            others += energy_limit(space, wanted, table)
            cost = table.cost(space)
            unmeasured = _unmeasured(search, device, table) if setup.measure else NOT_WANTED
            measure = measure_of(device, table, folder, setup.seed) if setup.measure else None
            as_searched = search if own and search.other_table is None else None
            margin = _margin(asked, table, as_searched)
            as_kept = None if as_searched is None else search.budget.tolerance
            tolerance = (as_kept or 0.0) if asked.tolerance is None else asked.tolerance
            # the run's own fraction holds only where no other cost has a budget
            fraction = None if own and others else wanted.fraction
            budget = resolve_budget(cost, replace(wanted, tolerance=tolerance), fraction, margin, others)
        elif not own:
            check_tabled(folder, vars(wanted))
        clock = clock_of(space, cost, measure)
        limits = [Limit("latency_ms", cost, budget.limit_ms)] if cost and budget else []
        energy = table.energy(space) if table and table.has_energy else None
        asked_of_all = Asked(budget, tuple(others), counted, energy)
        out = _out(search, setup.out, budget, others)
        return Request(setup, asked_of_all, (*limits, *others), cost, clock, unmeasured, out)


def _margin(asked: BudgetRequest, table: LatencyTable, as_searched: FinishedSearch | None) -> float:
    """The share kept free of a budget on latency: as `asked`, else as in the search whose very budget it is, else the
    table's own."""
    if asked.margin is not None:
        return asked.margin
    own = None if as_searched is None else as_searched.margin
    return table.margin if own is None else own


def _unmeasured(search: FinishedSearch, device: TargetDevice, table: LatencyTable) -> str | None:
    """Why networks are not measured; where `device` is the run's own, with what brings their times all the same."""
    return why_not_measured(device, table, search.folder) if search.other_table is None else device.not_measured(table)


@dataclass(frozen=True)
class Ranking:
    """What a method says of its networks: `facts(genotype)`, its score first, shown under `heading`, and the recipe.

    `searched_recipes`: recipes differ between networks, and are written beside them.
    """

    heading: str
    facts: Callable[[Genotype], Mapping[str, Any]]
    recipe_of: Callable[[Genotype], Recipe | None]
    searched_recipes: bool = False


@dataclass(frozen=True)
class DerivedNetworks:
    """Networks in the folder `out`, best first: `archs`, their `recipes` and the `records` of `derived.json`.

    `missed`: a phrase for each budget that the first one exceeds.
    """

    out: Path
    archs: tuple[Arch, ...]
    recipes: tuple[Recipe | None, ...]
    records: tuple[dict[str, Any], ...]
    missed: tuple[str, ...]

    def _repr_html_(self) -> str:
        """What a notebook shows of them."""
        keys = ("file", "estimated_latency_ms", "measured_latency_ms", "params", "macs", "memory_kib", "top1_percent")
        shown = [key for key in keys if any(record.get(key) is not None for record in self.records)]
        return as_html(
            f"networks in {self.out}", [[record.get(key) for key in shown] for record in self.records], shown
        )


def hand_over(request: Request, derived: Derived, ranking: Ranking) -> DerivedNetworks:
    """Write the networks and a record of each in `derived.json`, and show them."""
    search, space = request.search, request.search.space
    budgets, out = request.budgets, request.out
    missed = budgets.shortfalls(derived.first)
    if missed:
        say_missed(missed, "raise it, or give the search more to choose from; exit status 1")
    archs = [space.decode(network.genotype) for network in derived.networks]
    recipes = tuple(ranking.recipe_of(network.genotype) for network in derived.networks)
    written = [_text_of(recipe) if ranking.searched_recipes and recipe else "" for recipe in recipes]
    _take(out, {(arch.id, recipe) for arch, recipe in zip(archs, written, strict=True)})
    rows, records = [], []
    for i, (network, arch, recipe) in enumerate(zip(derived.networks, archs, written, strict=True), start=1):
        suffix = "" if i == 1 else f"-{i}"
        path = write_text(out / f"arch{suffix}.json", arch.to_json())
        if recipe:
            write_text(out / f"recipe{suffix}.json", recipe)
        known = ranking.facts(network.genotype)
        records.append(
            {
                "file": path.name,
                "arch": arch.id,
                "genotype": list(network.genotype),
                **known,
                "asked_latency_ms": budgets.latency.asked_ms if budgets.latency else None,
                "estimated_latency_ms": network.estimated_ms,
                "measured_latency_ms": network.measured_ms,
                "latency_now_ms": network.now_ms,
                "not_measured": request.unmeasured if network.measured_ms is None else None,
                "device": None if search.device is None else search.device.key.key,
                "budget_met": budgets.met(network),
                **budgets.figures(arch, network.genotype),
            }
        )
        times = ("–" if ms is None else f"{ms:#.4g}" for ms in (network.estimated_ms, network.measured_ms))
        kib = amount(records[-1]["memory_kib"])
        rows.append((path.name, f"{next(iter(known.values())):.2f}", *times, f"{arch.params:,}", f"{arch.macs:,}", kib))
    write_json(out / DERIVED, records)
    within = (
        f" within {budgets.latency.asked_ms:.4g} ms on {search.device.key}" if budgets.latency and search.device else ""
    )
    title = f"networks of {search.folder}{within}"
    headings = ("file", ranking.heading, "estimated ms", "measured ms", "params", "MACs", "peak KiB")
    table(title, headings, rows)
    lacking = any(network.measured_ms is None for network in derived.networks)
    if lacking and request.unmeasured and request.unmeasured != NOT_WANTED and request.cost is not None:
        log(f"NOTE: not measured, estimates decide alone: {request.unmeasured}")
    if len(rows) < request.setup.count:
        log(f"NOTE: {request.setup.count} were asked; no more than these {len(rows)} were found within the budget")
    for note in _same_networks(records, recipes):
        log(note)
    log(f"files: {out}")
    log(train_command(out / "arch.json", search.data, recipes[0]))
    return DerivedNetworks(out, tuple(archs), recipes, tuple(records), tuple(missed))


def _same_networks(records: Sequence[Mapping[str, Any]], recipes: Sequence[Recipe | None]) -> Iterator[str]:
    """For each network among `records` that several of them hand over: which, and what their recipes differ in."""
    by_arch: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        by_arch.setdefault(record["arch"], []).append(i)
    for rows in by_arch.values():
        if len(rows) == 1:
            continue
        files = ", ".join(records[i]["file"] for i in rows)
        known = [recipe.acting.to_dict() for i in rows if (recipe := recipes[i])]
        apart = [
            f"{name} ({', '.join(str(recipe[name]) for recipe in known)})"
            for name in (known[0] if known else ())
            if any(recipe[name] != known[0][name] for recipe in known)
        ]
        yield f"NOTE: {files} are one network" + (f"; their recipes differ in {', '.join(apart)}" if apart else "")


def _out(search: FinishedSearch, given: str | None, budget: Budget | None, others: list[Limit]) -> Path:
    """Where the networks go: `given`, else a folder in the run that is called after the budget, and another device."""
    if given is None:
        parts = [f"{budget.asked_ms:.4g}ms"] if budget else []
        parts += [f"{as_typed(limit.limit)}{limit.name}" for limit in others]
        other = [search.other_table.stem] if search.other_table else []
        return search.folder / "-".join(["derived", *other, *parts])
    if (Path(given) / "config.yaml").exists():
        raise ValueError(f"out={given} is a run directory, whose own arch.json stays; name another folder")
    if not (Path(given) / DERIVED).exists() and (taken := _handed_over_in(Path(given))):
        raise ValueError(
            f"out={given} holds {taken[0]}, which no derivation wrote; name another folder, or move it away"
        )
    return Path(given)


def _text_of(recipe: Recipe) -> str:
    return json.dumps(recipe.to_dict(), indent=1) + "\n"


def _handed_over(path: Path) -> tuple[str, str] | None:
    """The id of the arch in `path` and the text of the recipe beside it, empty where there is none."""
    recipe = path.with_name(path.name.replace("arch", "recipe", 1))
    with contextlib.suppress(ValueError):  # a damaged file is replaced too
        return Arch.load(path).id, recipe.read_text(encoding="utf-8") if recipe.exists() else ""
    return None


def _handed_over_in(out: Path) -> list[str]:
    """The files and folders in `out` of names that a derivation gives."""
    there = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    return [name for name in there if re.fullmatch(r"(arch|recipe)(-\d+)?\.json|model(-\d+)?", name)]


def _take(out: Path, new: Collection[tuple[str, str]]) -> None:
    """Make `out` a folder of derived networks without any: those that an earlier derivation wrote go, so that none
    stands beside others' records. If this one is killed, the next finds whose files there are.

    Where some of the earlier ones, each with its recipe, are not among the `new` ones, that is said.
    """
    is_ours = (out / DERIVED).exists()
    write_json(out / DERIVED, [])
    if is_ours:
        there = [path for path in sorted(out.glob("arch*.json")) if re.fullmatch(r"arch(-\d+)?\.json", path.name)]
        gone = [path.name for path in there if _handed_over(path) not in new]
        if gone:
            log(f"NOTE: {out} held other networks ({', '.join(gone)}), which are replaced; out=FOLDER keeps both")
        for path in out.glob("*.json"):
            if re.fullmatch(r"(arch|recipe)(-\d+)?\.json", path.name):
                path.unlink()
        for folder in out.glob("model*"):
            if re.fullmatch(r"model(-\d+)?", folder.name) and (folder / CONFIG).is_file():
                shutil.rmtree(folder)
