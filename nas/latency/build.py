"""Building a latency table: measure the rows, time whole networks, calibrate, prove, write one file."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.latency.assemble import assemble
from nas.latency.device import Device, pinned
from nas.latency.effort import Effort, Visiting
from nas.latency.learning.sample import spread_networks
from nas.latency.measuring.journal import Journal, locked
from nas.latency.measuring.measure import measurements, prepare, quiet, reference_workload
from nas.latency.measuring.timing import Workload, capacity
from nas.latency.measuring.visits import Interleaved, Visits, usual_reference_ms
from nas.latency.runtimes import check_local
from nas.latency.tables.origin import LOCAL, here, measured_by
from nas.latency.tables.reuse import make_room, usable
from nas.latency.tables.table import LatencyTable, all_entries, entries, entries_hash, row_key, table_path
from nas.networks.network import build_network
from nas.terminal.progress import log, phase
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace

MIN_TO_PROVE = 4  # networks of a space: two for the fit, two for the proof


def build_table(
    space: SearchSpace,
    device: Device,
    directory: str | Path = "latency_tables",
    *,
    effort: Effort | None = None,
    visiting: Visiting | None = None,
    refresh: bool = False,
) -> LatencyTable:
    """The table of `space` on `device`: the one in `directory` if proven at least as well as asked, else a new one.

    An interrupted build continues from its journal. Of two processes that want the same table one measures and the
    other waits for it. `refresh` measures anew. A table is one whatever the seed of `visiting`.

    A table that another machine or runtime version measured is never overwritten: under the name `local` it is kept
    aside (and found again when that machine asks for it), under a name of its own it is used as it is.
    Raises `ValueError` where this machine cannot measure for `device`, and where `refresh` would replace the times of
    another device.
    """
    effort = effort or Effort()
    path = table_path(directory, space, device)
    if not refresh and (known := usable(path, space, device, effort.held_out_networks)) is not None:
        return known  # without a lock: a finished table may lie in a folder that cannot be written
    if not path.exists():
        check_local(device)
    with locked(path.with_suffix(".lock"), log):
        if not refresh and (known := usable(path, space, device, effort.held_out_networks)) is not None:
            return known
        if path.exists():
            make_room(path, space, device, refresh)
            if not refresh and (known := usable(path, space, device, effort.held_out_networks)) is not None:
                return known
        check_local(device)
        if device.name != LOCAL:
            log(f"this machine is measured, under the name {device.name}; a table of another one is imported")
        if refresh:
            path.with_suffix(".jsonl").unlink(missing_ok=True)
        table = _build(space, device, path.with_suffix(".jsonl"), effort, visiting or Visiting())
        table.save(path)
        path.with_suffix(".jsonl").unlink(missing_ok=True)
        return table


def _build(
    space: SearchSpace,
    device: Device,
    journal_path: Path,
    effort: Effort,
    visiting: Visiting,
) -> LatencyTable:
    machine = here(device)
    rows, seed = entries(space), visiting.seed
    header = {**measured_by(device, machine), "rows": entries_hash(rows), "seed": seed, "effort": asdict(effort)}
    fit, held_out = draw_networks(space, effort, seed)
    fit_ids = {arch.id for arch in fit}
    networks = shuffled(fit + held_out, seed)
    journal = Journal(journal_path, header, log)
    try:
        with quiet(device), pinned(visiting.pin, device.threads) as bound:
            reference = reference_workload(device)
            visits = _select(journal.visits, "row:")
            watch = Interleaved(seed, effort.rounds, effort.visit_ms, reference, journal.record, visits)
            with _phase(f"measuring blocks on {device.key}", len(rows), effort.rounds, visits) as advance:
                watch.run({"row:" + row_key(*row): [_row_workload(row, device)] for row in rows}, advance, _say)
            times = measurements(watch.visits)
            visits = _select(journal.visits, "net:")
            watch = Interleaved(seed, effort.network_rounds, effort.network_visit_ms, reference, journal.record, visits)
            for group in _groups(networks):
                ready = {}
                with phase("loading whole networks", len(group), "network") as advance:
                    for arch in group:
                        ready[f"net:{arch.id}"] = [_net_workload(arch, device)]
                        advance()
                done = {key: turns for key, turns in visits.items() if key in ready}
                plan = watch.plan(ready, effort.network_minutes * len(group) / len(networks))
                with _phase("timing whole networks", len(group), plan.rounds, done) as advance:
                    watch.run(ready, advance, _say, plan)
            times |= measurements(watch.visits)
            environment = {
                **machine,
                "pinned": bound,
                "held_out_networks": effort.held_out_networks,
                "reference_ms": usual_reference_ms(watch.visits),
            }
    finally:
        journal.close()
    return assemble(
        space.name,
        device,
        {row: times["row:" + row_key(*row)] for row in rows},
        [(arch, times[f"net:{arch.id}"], arch.id in fit_ids) for arch in networks],
        environment,
        len(all_entries(space)) - len(rows),
    )


def draw_networks(space: SearchSpace, effort: Effort, seed: int) -> tuple[list[Arch], list[Arch]]:
    """The whole networks that calibrate a table and those, all others, that prove it.

    A space of so few networks that those of the fit leave fewer than two gives every other one to the proof; one of
    fewer than `MIN_TO_PROVE` has a table that is calibrated on all of them and not proven.
    """
    fit = [arch for _, arch in spread_networks(space, effort.fit_networks, seed, "fit")]
    taken = {arch.id for arch in fit}
    drawn = spread_networks(space, effort.held_out_networks, seed, "held_out")
    held_out = [arch for _, arch in drawn if arch.id not in taken]
    if len(held_out) >= 2:
        return fit, held_out
    known = fit + held_out
    return (known[::2], known[1::2]) if len(known) >= MIN_TO_PROVE else (known, [])


def shuffled(networks: Sequence[Arch], seed: int) -> list[Arch]:
    """The order in which networks are timed: where not all fit into memory, each part holds fitted and held-out ones.

    Otherwise the machine's drift between the parts would come between calibration and proof.
    """
    return random.Random(f"{seed}/networks").sample(networks, len(networks))


def _row_workload(row: tuple[Layer, Shape], device: Device) -> Workload:
    layer, shape = row
    return prepare(layer.build(shape), shape, device)


def _net_workload(arch: Arch, device: Device) -> Workload:
    return prepare(build_network(arch), arch.input_shape, device)


def _groups(archs: list[Arch]) -> Iterable[list[Arch]]:
    """`archs` in their order, cut into groups that fit into memory together."""
    group: list[Arch] = []
    params, most = 0, capacity()
    for arch in archs:
        if group and params + arch.params > most:
            yield group
            group, params = [], 0
        group.append(arch)
        params += arch.params
    if group:
        yield group


def _say(count: int) -> None:
    if count >= 20:
        log(f"background load; repeating {count} timings")


def _select(visits: Visits, prefix: str) -> Visits:
    return {key: turns for key, turns in visits.items() if key.startswith(prefix)}


def _phase(description: str, count: int, rounds: int, visits: Visits) -> Any:
    done = sum(len(turns) for turns in visits.values())
    return phase(description, total=count * rounds, unit="visit", completed=done)
