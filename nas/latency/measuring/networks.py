"""The time of whole networks that are measured by themselves: those found, evaluated, exported."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from nas.latency.device import Device
from nas.latency.measuring.calm import remember
from nas.latency.measuring.ladder import numbers_of, rung_of
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.processes.bench import Bench, Entry, bench
from nas.latency.measuring.processes.sampling import PROCESSES, Record, request
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements
from nas.latency.measuring.visits import Visit, Visits
from search_spaces.arch import Arch

MORE = (8, 12)  # processes in all, where those before do not agree
AGREED = 0.015  # standard error of a time, as a share of it, at which no further process is asked
FILE = "file"  # the key of a file
VISITS = 6  # of a process to a network
VISIT_MS = 15.0


def measure_networks(
    archs: Sequence[Arch], device: Device, at: Conditions | None = None, seed: int = 0
) -> list[NetworkTime]:
    """The time of one batch through each of `archs` on this machine, in their order.

    Each is loaded anew by at least `PROCESSES` new processes, and by more until they agree (see `AGREED`). `at`:
    what the times are to stand at, the conditions of a table; by default the calmest speed that this machine is
    remembered at. Raises `ValueError` for a device this machine cannot measure for, for block
    kinds that only this process has, and for a reference that lacks a size; `RuntimeError` where a process failed.
    """
    distinct = {f"net:{arch.id}": arch for arch in archs}
    with bench(device) as ready:
        entries = [ready.network(key, arch) for key, arch in distinct.items()]
        found = _measured(ready, entries, at, seed)
    return [found[f"net:{arch.id}"] for arch in archs]


def measure_file(
    path: Path, shape: Sequence[int], arch: Arch, device: Device, command: Sequence[str] = ()
) -> NetworkTime:
    """As `measure_networks`, of the file `path` of `arch` on inputs of `shape` (batch first), as it is.

    An ONNX file, or one that the program `command` loads, which is told the folder of the references last.
    """
    entry = {"key": FILE, "params": arch.params, "rung": rung_of(numbers_of(arch))}
    with bench(device) as ready:
        ready.command = command
        if not command:
            entry = ready.graph(entry, path.read_bytes(), shape)
        else:
            entry |= {"file": str(path.resolve()), "shape": list(shape)}
        return _measured(ready, [entry], None, 0)[FILE]


def _measured(ready: Bench, entries: Sequence[Entry], at: Conditions | None, seed: int) -> dict[str, NetworkTime]:
    rungs = {entry["key"]: entry["rung"] for entry in entries}
    if at is not None:
        at.check(set(rungs.values()))
    common = ready.common(entries, seed)

    def ask(processes: Sequence[int], keys: set[str], record: Record) -> None:
        left = [entry for entry in entries if entry["key"] in keys]
        asked = []
        for process in processes:
            turns = dict.fromkeys(keys, range(process * VISITS, (process + 1) * VISITS))
            asked.append(request(common, left, process, turns, VISIT_MS))
        ready.run(asked, record)

    visits = sampled(set(rungs), ask)
    known = remember(ready.device, calm_speed(visits, rungs))
    found = measurements(visits, rungs, at or Conditions(known))
    return {key: one.of_network() for key, one in found.items()}


def sampled(keys: set[str], ask: Callable[[Sequence[int], set[str], Record], None]) -> Visits:
    """The visits of `PROCESSES` processes to each of `keys`, and of more, in the steps `MORE`, until they agree.

    `ask(processes, keys, record)` lets processes visit them.
    """
    visits: Visits = {}

    def record(key: str, turn: int, visit: Visit) -> None:
        visits.setdefault(key, {})[turn] = visit

    left = keys
    for first, end in itertools.pairwise((0, PROCESSES, *MORE)):
        if left:
            ask(range(first, end), left, record)
        left = {key for key in keys if not agreed(list(visits[key].values()))}
    return visits


def agreed(visits: Sequence[Visit]) -> bool:
    """Whether the processes that made `visits` agree on the time well enough."""
    return Measurement.of(visits, 1.0).error <= AGREED
