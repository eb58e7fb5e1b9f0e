"""The networks of several runs on each of their devices, side by side: what is quick on one need not be on another."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.latency.tables.table import LatencyTable
from nas.report.charts import number
from nas.report.parts import NOTHING, Cell, Line, Section, Table, numeric
from search_spaces.arch import Arch

FEWEST = 5  # networks, below which nothing is said of how alike two devices rank
MOST = 40  # networks shown, the most accurate ones

Tables = dict[str, LatencyTable]
"""The different tables of one device, by their files."""

Times = Mapping[str, Sequence[float | None]]
"""Milliseconds by device, one for each network; None where its table lacks a row."""


@dataclass(frozen=True)
class AcrossDevices(Section):
    """Milliseconds and ranks of each network on each device, and how alike the devices rank."""

    alike: Sequence[str]
    table: Table

    heading, template = "Across devices", "across_devices.html"


def across_devices(folder: Path, rows: Sequence[Mapping[str, Any]]) -> AcrossDevices | None:
    """A column of milliseconds and ranks for each device of `rows`. None for fewer than two devices or networks.

    A network's time on a device is measured where it was, else estimated by that device's first table in `folder` that
    has its rows; that there are others, with other times, is said.
    """
    tables = _tables(folder, rows)
    networks = _networks(rows)
    if len(tables) < 2 or len(networks) < 2:
        return None
    times = {
        device: [each.times[device] if device in each.times else _estimated(each.arch, known) for each in networks]
        for device, known in tables.items()
    }
    places = {device: ranks(found) for device, found in times.items()}
    lines = []
    for index, network in enumerate(networks):
        cells = [Cell(network.row["run"]), numeric(network.accuracy)]
        for device in tables:
            ms, place = times[device][index], places[device][index]
            shown = NOTHING if ms is None else f"{number(ms)}{'' if device in network.times else ' est.'}"
            cells += [numeric(shown), numeric("" if place is None else str(place))]
        lines.append(Line(cells))
    head = [Cell("network of"), numeric("top-1 %")]
    head += [numeric(heading) for device in tables for heading in (f"{device}, ms", "rank")]
    several = [
        f"NOTE: of {device} there are {len(known)} tables with other rows or times; an estimate is of the first that "
        f"has the rows: {', '.join(known)}"
        for device, known in tables.items()
        if len(known) > 1
    ]
    return AcrossDevices([*several, *_alike(times)], Table(head, lines))


def _tables(folder: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Tables]:
    """The readable tables of each device; of devices that networks were derived for, they lie beside the run's."""
    found: dict[str, Tables] = {}
    for name, device in dict.fromkeys((row["folder"], row["device"]) for row in rows):  # networks of a run share them
        run = folder / name
        for path in (run / "table.json", *sorted(run.glob("tables/*.json"))):
            if device is None or not path.exists():
                continue
            try:
                table = LatencyTable.load(path)
            except ValueError:  # the run's own page says so
                continue
            if device.partition(" ")[0] == table.device.key:  # behind it the machine, where there are several
                known = found.setdefault(device, {})
                if all(table.rows_ != other.rows_ or table.offset_ms != other.offset_ms for other in known.values()):
                    known[os.path.relpath(path, folder)] = table
    return found


@dataclass
class _Network:
    """A network, the `row` of the run in which it is most accurate, its measured `times` by device, and how many runs
    `tested` it."""

    row: Mapping[str, Any]
    arch: Arch
    times: dict[str, float]
    tested: int = 0

    @property
    def accuracy(self) -> str:
        percent: float | None = self.row["top1_percent"]
        best = f" (best of {self.tested})" if self.tested > 1 else ""
        return NOTHING if percent is None else f"{percent:.2f}{best}"


def _networks(rows: Sequence[Mapping[str, Any]]) -> list[_Network]:
    """Each different network of `rows` on each data, the most accurate first."""
    found: dict[tuple[str, str], _Network] = {}
    times: dict[str, dict[str, float]] = {}
    for row in sorted(rows, key=lambda row: -(row["top1_percent"] or 0.0)):
        try:
            arch = Arch.load(row["arch_file"])
        except ValueError:
            continue
        known = times.setdefault(arch.id, {})
        network = found.setdefault((row["data"], arch.id), _Network(row, arch, known))
        network.tested += row["top1_percent"] is not None
        if row["measured_latency_ms"] is not None:
            known.setdefault(row["device"], row["measured_latency_ms"])
    return list(found.values())[:MOST]


def _estimated(arch: Arch, tables: Tables) -> float | None:
    for table in tables.values():
        with contextlib.suppress(ValueError):  # a network of another space
            return table.estimate_ms(arch)
    return None


def ranks(times: Sequence[float | None]) -> list[int | None]:
    """The place of each among those that are known, from 1; equal ones share the better place."""
    known = sorted(ms for ms in times if ms is not None)
    return [None if ms is None else 1 + known.index(ms) for ms in times]


def _alike(times: Times) -> list[str]:
    """Kendall's tau of each pair of devices on the networks that both have a time of."""
    from scipy.stats import kendalltau

    said = []
    for one, other in itertools.combinations(times, 2):
        both = [(a, b) for a, b in zip(times[one], times[other], strict=True) if a is not None and b is not None]
        if len(both) < FEWEST:
            said.append(f"{one} and {other}: {len(both)} networks in common, too few to compare their ranks")
            continue
        tau = kendalltau(*zip(*both, strict=True)).statistic
        said.append(f"{one} and {other} rank {len(both)} networks alike with Kendall's tau {tau:.2f}")
    return said
