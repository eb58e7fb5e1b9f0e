"""The time of whole networks that are measured by themselves: those found, evaluated, exported."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.latency.device import Device
from nas.latency.measuring.calm import remember
from nas.latency.measuring.ladder import numbers_of, rung_of
from nas.latency.measuring.network_time import FILE, NetworkTime
from nas.latency.measuring.processes.bench import Bench, Entry, bench
from nas.latency.measuring.processes.sampling import PROCESSES, Record, request
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements
from nas.latency.measuring.visits import Visit, Visits
from search_spaces.arch import Arch

MORE = (8, 12)  # processes in all, where those before do not agree
AGREED = 0.015  # standard error of a time, as a share of it, at which no further process is asked


@dataclass(frozen=True)
class Care:
    """How carefully a network is measured: by so many `processes` (None: `PROCESSES`, and `MORE` where those before do
    not agree); `visits` of a process, of about `visit_ms` each."""

    processes: int | None = None
    visits: int = 6
    visit_ms: float = 15.0


FULL = Care()
BRIEF = Care(3, 4, 8.0)  # of networks that are compared and not handed over


def measure_networks(
    archs: Sequence[Arch], device: Device, at: Conditions | None = None, seed: int = 0, care: Care = FULL
) -> list[NetworkTime]:
    """The time of one batch through each of `archs` on this machine, in their order.

    Each is loaded anew by at least `PROCESSES` new processes, and by more until they agree (see `AGREED`), or as `care`
    says. `at`: what the times are to stand at, the conditions of a table; of a size that no row of it was, as without
    one, the calmest speed that this machine is remembered at. Raises `ValueError` for a device this machine cannot
    measure for and for block kinds that only this process has, `Ended` where a signal ended a process; `RuntimeError`
    where one failed.
    """
    distinct = {f"net:{arch.id}": arch for arch in archs}
    with bench(device) as ready:
        entries = [ready.network(key, arch) for key, arch in distinct.items()]
        found = _measured(ready, entries, at, seed, care)
    return [found[f"net:{arch.id}"] for arch in archs]


def measure_file(
    path: Path, shape: Sequence[int], arch: Arch, device: Device, command: Sequence[str] = (), under: str = ""
) -> NetworkTime:
    """As `measure_networks`, of the file `path` of `arch` on inputs of `shape` (batch first), as it is.

    An ONNX file, or one that the program `command` loads `under` a runtime of its own; it is told the folder of the
    references last.
    """
    return measure_files({FILE: path}, shape, arch, device, command, under)[FILE]


def measure_files(
    paths: Mapping[str, Path],
    shape: Sequence[int],
    arch: Arch,
    device: Device,
    command: Sequence[str] = (),
    under: str = "",
) -> dict[str, NetworkTime]:
    """As `measure_file`, of several files of one `arch`, each under its name: the same processes visit all in turn."""
    about = {"params": arch.params, "rung": rung_of(numbers_of(arch))}
    with bench(device) as ready:
        ready.command, ready.under = command, under
        entries = []
        for key, path in paths.items():
            if command:
                entries.append({"key": key, **about, "file": str(path.resolve()), "shape": list(shape)})
            else:
                entries.append(ready.graph({"key": key, **about}, path.read_bytes(), shape))
        return _measured(ready, entries, None, 0)


def _measured(
    ready: Bench, entries: Sequence[Entry], at: Conditions | None, seed: int, care: Care = FULL
) -> dict[str, NetworkTime]:
    rungs = {entry["key"]: entry["rung"] for entry in entries}
    common = ready.common(entries, seed)

    def ask(processes: Sequence[int], keys: set[str], record: Record) -> None:
        left = [entry for entry in entries if entry["key"] in keys]
        asked = []
        for process in processes:
            turns = dict.fromkeys(keys, range(process * care.visits, (process + 1) * care.visits))
            asked.append(request(common, left, process, turns, care.visit_ms))
        ready.run(asked, record)

    visits = sampled(set(rungs), ask, None if care.processes is None else (care.processes,))
    known = remember(ready.device, calm_speed(visits, rungs))
    found = measurements(visits, rungs, Conditions(known) if at is None else at.beside(known))
    return {key: one.of_network() for key, one in found.items()}


def sampled(
    keys: set[str],
    ask: Callable[[Sequence[int], set[str], Record], None],
    steps: Sequence[int] | None = None,
) -> Visits:
    """The visits of `steps[0]` processes to each of `keys`, and of more, in further `steps`, until they agree.

    `steps` None: `PROCESSES`, and then `MORE`.

    `ask(processes, keys, record)` lets processes visit them.
    """
    visits: Visits = {}

    def record(key: str, turn: int, visit: Visit) -> None:
        visits.setdefault(key, {})[turn] = visit

    left = keys
    for first, end in itertools.pairwise((0, *(steps or (PROCESSES, *MORE)))):
        if left:
            ask(range(first, end), left, record)
        left = {key for key in keys if not agreed(list(visits[key].values()))}
    return visits


def agreed(visits: Sequence[Visit]) -> bool:
    """Whether the processes that made `visits` agree on the time well enough."""
    return Measurement.of(visits, 1.0).error <= AGREED
