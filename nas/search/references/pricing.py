"""The references of a search at its budgets, with their times: once per run, and measured once per table."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.latency.measuring.journal import locked
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.tables.table import LatencyTable
from nas.runs.files import write_json
from nas.runs.stored import Schema, read_record, record
from nas.search.pricing.prices import Prices
from nas.search.references.choosing import Hunt, Times, Width, hunted, widths_of
from nas.search.references.first_guess import FirstGuess
from nas.search.references.known_times import TIME, keep_times, place, read_times
from nas.search.references.reference import Reference
from nas.search.references.request import Family
from nas.search.setup import SearchSetup
from nas.terminal.progress import format_seconds, log, phase
from search_spaces.arch import Arch
from search_spaces.plain_data import identity

FILE = "references.json"  # of a run directory
STORED: Schema = {"identity": dict, "references": list[dict], "left_out": dict[str, str], "digest": str}
ENTRY: Schema = {
    "name": str,
    "multiplier": float | None,
    "arch": dict,
    "estimated_latency_ms": float | None,
    "measured": dict | None,
    "in_space": bool,
}


def price_references(run: Path, setup: SearchSetup, prices: Prices) -> tuple[Reference, ...]:
    """The references within the budgets, each at its largest width, and what is said of those that are not.

    The run keeps them: continued, it compares with the very same ones.
    """
    families = setup.references.families
    if not families:
        return ()
    path, depends = run / FILE, _depends(setup, prices)
    if path.exists():
        known, references = _read(path)
        if not identity.differences(known, depends):
            return references
        log(f"{path} is of another search ({identity.differences(known, depends)[0]}): references are priced anew")
    counter = _Pricing(setup, prices)
    began = time.perf_counter()
    references = counter.references(families)
    for line in left_out_lines(counter.left_out):
        log(line)
    if references:
        took = format_seconds(time.perf_counter() - began)
        measured = f"; {counter.measured} networks were measured for this, in {took}" if counter.measured else ""
        log(f"references at this budget: {', '.join(map(_said, references))}{measured}")
    _write(path, depends, references, counter.left_out)
    return references


def left_out_lines(left_out: Mapping[str, str]) -> list[str]:
    """A line for each reason in `left_out` (name: reason), with all it holds for."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        names.setdefault(reason, []).append(name)
    found = {reason: (", ".join(those[:-1]), those[-1]) for reason, those in names.items()}
    return [
        f"references {first} and {last} are left out: {reason}" if first else f"reference {last} is left out: {reason}"
        for reason, (first, last) in found.items()
    ]


def _said(reference: Reference) -> str:
    ms = reference.latency_ms
    return reference.title if ms is None else f"{reference.title} ({ms:.4g} ms)"


class _Pricing:
    """References in the making: `left_out` says why a family gives none, `measured` how many networks were timed."""

    def __init__(self, setup: SearchSetup, prices: Prices) -> None:
        self.setup, self.asked, self.table = setup, prices.budgets, prices.table
        self.device = prices.device
        self.left_out: dict[str, str] = {}
        self.measured = 0
        self.known: dict[str, NetworkTime] = {}
        self.why_not = "no latency is asked for"
        if self.table is not None and self.device is not None:
            self.why_not = self.device.not_measured(self.table) or ""
        if not self.why_not and self.table is not None:
            there = setup.device.table_path(setup.problem.space.architectures, setup.paths.tables)
            self.place = place(there)
            self.known = read_times(self.place, self.table)

    def references(self, families: Sequence[Family]) -> tuple[Reference, ...]:
        """One of each family that has one within the budgets."""
        widths: dict[str, list[Width]] = {}
        for family in families:
            widths[family.name] = widths_of(family, self.asked)
            if not widths[family.name]:
                self.left_out[family.name] = "no width is within the budgets"
        widths = {name: found for name, found in widths.items() if found}
        if any(limit.name == "energy_mj" for limit in self.asked.others):
            self.left_out |= dict.fromkeys(widths, "nothing says what it takes of energy")
            return ()
        try:
            chosen = self._at_latency(widths) if self.asked.latency else self._without_latency(widths)
        except (ValueError, RuntimeError) as error:  # a search does not end because a reference cannot be measured
            self.left_out |= dict.fromkeys(widths, f"it cannot be measured: {str(error).splitlines()[0]}")
            return ()
        return tuple(chosen[family.name] for family in families if family.name in chosen)

    def _without_latency(self, widths: dict[str, list[Width]]) -> dict[str, Reference]:
        """The widest within the other budgets; without any of these, the published width."""
        found = {}
        for name, those in widths.items():
            asked = [w for w in those if self.asked.others or w.multiplier is None or w.multiplier <= 1]
            found[name] = asked[-1]
        times = {} if self.why_not or self.table is None else self._times([w.arch for w in found.values()])
        return {name: self._reference(name, width, times.get(width.arch.id)) for name, width in found.items()}

    def _at_latency(self, widths: dict[str, list[Width]]) -> dict[str, Reference]:
        budget, table = self.asked.latency, self.table
        assert budget is not None and table is not None
        found: dict[str, Reference] = {}
        hunts: dict[str, Hunt] = {}
        guess = FirstGuess.of(table)
        for name, those in widths.items():
            priced = [(width, ms) for width in those if (ms := estimate_ms(table, width.arch)) is not None]
            if len(priced) == len(those) or self.why_not:
                within = [width for width, ms in priced if ms <= budget.limit_ms]
                if within:
                    found[name] = self._reference(name, within[-1], None)
                else:
                    least = f"its least estimate is {priced[0][1]:.4g} ms" if priced else self._unpriced()
                    self.left_out[name] = least
            else:
                hunts[name] = Hunt(those, [guess(width.arch) for width in those], budget.ceiling_ms)
        if not self.why_not:  # what estimates let in is measured too, and corrected where it takes more
            times = self._times([reference.arch for reference in found.values()])
            found = {name: dataclasses.replace(one, measured=times[one.arch.id]) for name, one in found.items()}
            for name in [name for name, one in found.items() if times[one.arch.id].latency_ms > budget.ceiling_ms]:
                over = found.pop(name)
                hunts[name] = self._narrower(widths[name], over, budget.ceiling_ms)
        for name, (width, measured) in hunted(hunts, self._times).items():
            found[name] = self._reference(name, width, measured)
        for name in hunts:
            if name not in found:
                self.left_out[name] = f"at its least width it is above {budget.asked_ms:.4g} ms"
        return found

    def _narrower(self, widths: Sequence[Width], over: Reference, ceiling_ms: float) -> Hunt:
        """The search among those of `widths` that are narrower than `over`, which was measured above `ceiling_ms`."""
        assert self.table is not None and over.measured is not None
        place = next(i for i, width in enumerate(widths) if width.arch.id == over.arch.id)
        hunt = Hunt(widths, [self.table.estimate_ms(width.arch) for width in widths], ceiling_ms)
        hunt.tell(place, over.measured.latency_ms)
        return hunt

    def _unpriced(self) -> str:
        return f"the table lacks rows of that kind, and nothing is measured: {self.why_not}"

    def _times(self, archs: Sequence[Arch]) -> Times:
        """The times of `archs`; those that are not known are measured, in one job, and kept beside the table."""
        table, device = self.table, self.device
        assert table is not None and device is not None
        if any(arch.id not in self.known for arch in archs):
            with locked(self.place.with_suffix(".lock"), log):  # another process may measure the very same ones
                self.known |= read_times(self.place, table)
                new = list({arch.id: arch for arch in archs if arch.id not in self.known}.values())
                with phase("measuring references", len(new), "network") as advance:
                    times = device.measure_briefly(new, table, self.setup.seed) if new else []
                    advance(len(new))
                made = dict(zip((arch.id for arch in new), times, strict=True))
                keep_times(self.place, table, made)
            self.measured += len(new)
            self.known |= made
        return {arch.id: self.known[arch.id] for arch in archs}

    def _reference(self, name: str, width: Width, measured: NetworkTime | None) -> Reference:
        estimated = None if self.table is None else estimate_ms(self.table, width.arch)
        in_space = is_point(self.setup.problem.space.architectures, width.arch)
        return Reference(name, width.multiplier, width.arch, estimated, measured, None, in_space)


def estimate_ms(table: LatencyTable, arch: Arch) -> float | None:
    """Milliseconds of `arch` by `table`; None where it lacks a row."""
    try:
        return table.estimate_ms(arch)
    except ValueError:
        return None


def is_point(space: Any, arch: Arch) -> bool:
    """Whether `arch` is a point of `space`."""
    try:
        space.encode(arch)
    except ValueError:
        return False
    return True


def of_finished(run: Path, result: Mapping[str, Any]) -> tuple[Reference, ...]:
    """The references of the finished search in `run`, with the accuracies that its `result` has of them."""
    if not (run / FILE).exists():
        return ()
    known = {row["arch"]: row["top1_percent"] for row in result.get("references") or []}
    figures = {arch: {"top1_percent": top1} for arch, top1 in known.items() if top1 is not None}
    return tuple(dataclasses.replace(one, figures=figures.get(one.arch.id)) for one in _read(run / FILE)[1])


def left_out(run: Path) -> dict[str, str]:
    """Why references that were asked for are missing in `run`, by name; empty where none were priced."""
    return dict(_stored(run / FILE)["left_out"]) if (run / FILE).exists() else {}


def _depends(setup: SearchSetup, prices: Prices) -> dict[str, Any]:
    """All that the references of a run and their times depend on."""
    budgets = prices.budgets
    return {
        "references": {family.name: [family.arch.id, family.is_scaled] for family in setup.references.families},
        "budget": None if budgets.latency is None else dataclasses.asdict(budgets.latency),
        **{limit.name: limit.limit for limit in budgets.others},
        "counted": dataclasses.asdict(budgets.counted),
        "table": None if prices.table is None else identity.digest(prices.table.to_dict()),
    }


def _write(path: Path, depends: identity.Identity, references: Sequence[Reference], left_out: dict[str, str]) -> None:
    entries = [
        {
            "name": one.name,
            "multiplier": one.multiplier,
            "arch": one.arch.to_dict(),
            "estimated_latency_ms": one.estimated_latency_ms,
            "measured": None if one.measured is None else dataclasses.asdict(one.measured),
            "in_space": one.in_space,
        }
        for one in references
    ]
    content = {"identity": identity.plain(depends), "references": entries, "left_out": left_out}
    write_json(path, {**content, "digest": identity.digest(content)})


def _read(path: Path) -> tuple[dict[str, Any], tuple[Reference, ...]]:
    """The identity and the references that `path` holds. Raises `ValueError` for a damaged file."""
    found, stored = [], _stored(path)
    try:
        for entry in (record(one, ENTRY, "a reference") for one in stored["references"]):
            time_ = None if entry["measured"] is None else NetworkTime(**record(entry["measured"], TIME, "a time"))
            arch = Arch.from_dict(entry["arch"])
            known = (entry["multiplier"], arch, entry["estimated_latency_ms"], time_)
            found.append(Reference(entry["name"], *known, None, entry["in_space"]))
        return stored["identity"], tuple(found)
    except (ValueError, TypeError) as error:
        raise _damaged(path, error) from None


def _stored(path: Path) -> dict[str, Any]:
    stored = read_record(path, "references", STORED)
    if stored.pop("digest") != identity.digest(stored):
        raise _damaged(path, "its content does not match its digest")
    return stored


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} does not hold references: {why}; remove it to price them again")
