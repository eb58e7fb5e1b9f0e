"""The rules every imported table obeys, and the one repair there is."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries, grain
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.space import LayerwiseSpace

TOLERANCE = 0.10  # rows of the same layer and input may differ by this much of their mean
MACS_PER_SECOND = 5e6, 2e13  # outside of this no device runs: the unit is wrong
SLOWEST = 1e5  # multiply-adds a second of whole networks: microcontrollers with plain kernels do a million
UNITS = {"s": 1e3, "ms": 1.0, "us": 1e-3}
EXACT = 1e-9
NO_SKIP = "a table without skips where the shape changes needs space.skip_at_shape_change=false"


def milliseconds(unit: str | None) -> float:
    """What one `unit` is in ms. Raises `ValueError` where it is not stated or unknown."""
    if unit is None:
        raise ValueError(f"the file does not state its unit; give unit=... ({', '.join(UNITS)})")
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; one of {', '.join(UNITS)}")
    return UNITS[unit]


@dataclass(frozen=True, slots=True)
class Cell:
    """One time of a file: ms, and where it stands there, for messages. `ms` is None where the file has no number."""

    ms: float | None
    where: str
    spread_ms: float = 0.0
    count: int = 0


def table_of_positions(
    space: LayerwiseSpace,
    cells: Mapping[tuple[int, int], Cell],
    device: Device,
    *,
    offset_ms: float = 0.0,
    rest: str,
    repair: bool,
) -> LatencyTable:
    """The table of a file that lists a time for each candidate (column) of each position (row) of `space`.

    What lies outside of the positions (stem, head) costs `offset_ms` in all; `rest` says so in words. Where a position
    can be left out, doing so is free in our tables: a file's time for it moves into the offset, which changes no sum.
    """
    notes = [rest]
    known: dict[tuple[int, int], Cell] = {}
    faults: list[Fault] = []
    for i, position in enumerate(space.positions):
        for c, layer in enumerate(position.candidates):
            cell = cells.get((i, c), Cell(None, f"{position.name} (layer {i + 1}), {layer.label}"))
            same = layer.table_row(position.shape)
            if cell.ms is None:
                faults.append(Fault(same, position.shape, f"{cell.where} is missing", layer.leaves_out))
            elif not math.isfinite(cell.ms) or cell.ms < 0:
                faults.append(Fault(same, position.shape, f"{cell.where} is {cell.ms:g} ms"))
            else:
                known[i, c] = cell
    _judge(faults, {(layer.table_row(shape), shape) for layer, shape in (_step(space, key) for key in known)}, repair)
    offset_ms += _without_identities(space, known, notes)
    groups: dict[tuple[Layer, Shape], list[Cell]] = defaultdict(list)
    for (i, c), cell in known.items():
        position = space.positions[i]
        same = position.candidates[c].table_row(position.shape)
        if same is not None:
            groups[same, position.shape].append(cell)
    check_rate(groups, device.batch_size)
    rows = [_row(key, groups[key], repair, notes) for key in _keys(space)]
    if faults:
        notes.append(f"repaired, the mean of like rows taken: {_first([fault.text for fault in faults])}")
    fixed = [(same, shape) for layer, shape in space.fixed() if (same := layer.table_row(shape)) is not None]
    rows += [Row(*key, 0.0, 0.0, 0, 0.0) for key in dict.fromkeys(fixed) if key not in groups]
    table = LatencyTable(
        space.name, device, tuple(rows), grain(offset_ms), None, {"model": "none (imported)", "notes": notes}
    )
    table.check(space)
    return table


@dataclass(frozen=True, slots=True)
class Fault:
    """A time that is missing or none: the row it belongs to (None for an identity), and what is wrong."""

    layer: Layer | None
    shape: Shape
    text: str
    is_missing_skip: bool = False


def _step(space: LayerwiseSpace, key: tuple[int, int]) -> tuple[Layer, Shape]:
    position = space.positions[key[0]]
    return position.candidates[key[1]], position.shape


def _judge(faults: list[Fault], usable: Collection[tuple[Layer | None, Shape]], repair: bool) -> None:
    """Raise `ValueError` for faults, with the fix that works: `usable` are the rows that have a time somewhere."""
    beyond = [f for f in faults if f.layer is None or (f.layer, f.shape) not in usable]
    if not faults or (repair and not beyond):
        return
    if not beyond:
        raise ValueError(_refusal([fault.text for fault in faults]))
    text = _first([fault.text for fault in beyond])
    if all(fault.is_missing_skip and fault.layer is not None for fault in beyond):
        raise ValueError(f"{text}; {NO_SKIP}")
    raise ValueError(f"{text}; no other row has the same layer and input, so only its own time will do")


def _keys(space: LayerwiseSpace) -> Iterable[tuple[Layer, Shape]]:
    """The rows of the searched positions."""
    searched = {
        (same, position.shape)
        for position in space.positions
        for layer in position.candidates
        if (same := layer.table_row(position.shape)) is not None
    }
    return [key for key in entries(space) if key in searched]


def _without_identities(space: LayerwiseSpace, known: dict[tuple[int, int], Cell], notes: list[str]) -> float:
    """Subtract each position's identity from its other candidates, in place; returns the sum of what was taken off."""
    taken = 0.0
    for i, position in enumerate(space.positions):
        free = [c for c, layer in enumerate(position.candidates) if layer.table_row(position.shape) is None]
        if not free or (i, free[0]) not in known:
            continue
        base = known[i, free[0]].ms or 0.0
        if base == 0:
            continue
        taken += base
        for c in range(len(position.candidates)):
            cell = known.get((i, c))
            if cell is None:
                continue
            assert cell.ms is not None
            if cell.ms < base:
                raise ValueError(f"{cell.where} is {cell.ms:g} ms, less than leaving the layer out ({base:g} ms)")
            known[i, c] = Cell(cell.ms - base, cell.where, cell.spread_ms, cell.count)
    if taken:
        notes.append(f"the file's times of layers left out, {taken:.4g} ms in all, are part of the offset")
    return taken


def _row(key: tuple[Layer, Shape], cells: list[Cell], repair: bool, notes: list[str]) -> Row:
    layer, shape = key
    times = [cell.ms for cell in cells if cell.ms is not None]
    mean = statistics.mean(times)
    worst = max(range(len(times)), key=lambda n: abs(times[n] - mean))
    difference = max(times) - min(times)
    if difference > TOLERANCE * mean:
        text = (
            f"{cells[worst].where} is {times[worst]:.4g} ms, but the same layer at the same input is "
            + " and ".join(f"{t:.4g} ms ({c.where})" for t, c in zip(times, cells, strict=True) if c != cells[worst])
        )
        if not repair:
            raise ValueError(_refusal([text]))
        notes.append(f"contradiction repaired by the mean, {mean:.4g} ms: {text}")
    elif difference > EXACT * mean:
        notes.append(f"{layer.label} at input {tuple(shape)}: mean of {len(times)} rows within {TOLERANCE:.0%}")
    spread = max(difference / 2, max(cell.spread_ms for cell in cells))
    return Row(layer, shape, mean, spread, sum(cell.count for cell in cells), grain(mean))


def check_rate(groups: Mapping[tuple[Layer, Shape], list[Cell]], images: int) -> None:
    """Refuse times of rows, each of so many `images`, at which no device works."""
    cells = [(layer.cost(shape).macs, cell.ms or 0.0) for (layer, shape), cells in groups.items() for cell in cells]
    _check_speed(((images * macs, ms) for macs, ms in cells), (MACS_PER_SECOND[0], images * MACS_PER_SECOND[1]))


def check_networks(macs: Iterable[float], times: Iterable[float], images: int) -> None:
    """Refuse times (ms) of calls of so many `images`, each of `macs` (multiply-adds), at which no device works.

    Where many images go through at once, accelerators do as many times what they do at one.
    """
    work = ((images * each, ms) for each, ms in zip(macs, times, strict=True))
    _check_speed(work, (SLOWEST, images * MACS_PER_SECOND[1]))


def _check_speed(work: Iterable[tuple[float, float]], bounds: tuple[float, float] = MACS_PER_SECOND) -> None:
    """Refuse times (ms) of so many multiply-adds at which no device works: seconds read as milliseconds, or
    microseconds; or rounded to nothing."""
    work = list(work)
    rates = [macs / (ms * 1e-3) for macs, ms in work if ms]
    if not rates:
        if work:
            raise ValueError("all times are 0; write them with more digits, or in a smaller unit")
        return
    rate = statistics.median(rates)
    if not bounds[0] <= rate <= bounds[1]:
        raise ValueError(f"at this unit the device would do {rate:.2g} multiply-adds a second; give the right unit=...")


def _refusal(faults: list[str]) -> str:
    return f"{_first(faults)}; repair=average takes the mean of the rows of the same layer and input"


def _first(faults: list[str], count: int = 3) -> str:
    more = f" and {len(faults) - count} more" if len(faults) > count else ""
    return "; ".join(faults[:count]) + more
