"""Building a latency table: measure the rows, time whole networks, calibrate, prove, write one file."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.latency.assemble import assemble
from nas.latency.device import Device
from nas.latency.effort import Effort, Visiting
from nas.latency.learning.sample import spread_networks
from nas.latency.measuring.calm import remember
from nas.latency.measuring.elasticity import elasticities
from nas.latency.measuring.journal import Journal, locked
from nas.latency.measuring.kit_script import groups
from nas.latency.measuring.network_time import NOTED
from nas.latency.measuring.processes.bench import bench
from nas.latency.measuring.processes.ended import Ended
from nas.latency.measuring.processes.sampling import PROCESSES, Group
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements, slowdown
from nas.latency.measuring.visits import Visit, Visits
from nas.latency.runtimes import check_local
from nas.latency.tables.fall_backs import fallen_back
from nas.latency.tables.origin import LOCAL, here, measured_by
from nas.latency.tables.reuse import make_room, usable
from nas.latency.tables.table import LatencyTable, all_entries, entries, entries_hash, row_key, table_path
from nas.terminal.progress import Advance, log, phase
from search_spaces.arch import Arch, own_code
from search_spaces.space import SearchSpace

NOISY = 0.03  # standard error of a network's time from which as many processes measure it once more
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
    rows, seed = entries(space), visiting.seed
    machine = {**here(device), **own_code(rows)}
    header = {**measured_by(device, machine), "rows": entries_hash(rows), "seed": seed, "effort": asdict(effort)}
    fit, held_out = draw_networks(space, effort, seed)
    fit_ids = {arch.id for arch in fit}
    networks = shuffled(fit + held_out, seed)
    with bench(device) as ready, closing(Journal(journal_path, header, log)) as journal:
        with phase("preparing blocks and networks", len(rows) + len(networks), "workload") as advance:
            blocks, nets = [], []
            for row in rows:
                blocks.append(ready.row("row:" + row_key(*row), *row))
                advance()
            for arch in networks:
                nets.append(ready.network(f"net:{arch.id}", arch))
                advance()
        common = ready.common([*blocks, *nets], seed)
        bound = False

        def measure(what: str, group: Group) -> None:
            nonlocal bound
            with _phase(what, group, journal.visits) as advance:
                asked = group.requests(common, journal.visits)
                record = _Recording(journal, advance)
                try:
                    bound = ready.run(asked, record, visiting.pin, record.told) or bound
                except Ended as fault:
                    raise fault.keeping(
                        f"what was measured until then is kept in {journal_path}: the same command goes on from there"
                    ) from None

        both = groups(blocks, nets, asdict(effort))
        measure(f"measuring blocks on {device.key}", both["blocks"])
        measure("timing whole networks", both["networks"])
        if noisy := disagreeing(both["networks"], journal.visits):
            measure("again, where processes disagree", both["networks"].once_more(noisy))
        visits = journal.visits
    times, speed = _times(visits, {entry["key"]: entry["rung"] for entry in [*blocks, *nets]}, device)
    environment = {
        **machine,
        "pinned": bound,
        "held_out_networks": effort.held_out_networks,
        **speed,
    }
    table = assemble(
        space.name,
        device,
        {row: times["row:" + row_key(*row)] for row in rows},
        [(arch, times[f"net:{arch.id}"], arch.id in fit_ids) for arch in networks],
        environment,
        len(all_entries(space)) - len(rows),
    )
    return dataclasses.replace(table, fell_back=fallen_back(held_out or fit, device))


def disagreeing(group: Group, visits: Visits) -> set[str]:
    """Those of `group` whose time its processes leave uncertain by more than `NOISY`, where they are enough to tell."""
    if group.processes < PROCESSES:
        return set()
    own = range(group.processes * group.visits_each)
    made = {
        entry["key"]: {turn: visit for turn, visit in visits[entry["key"]].items() if turn in own}
        for entry in group.entries
    }
    rungs = {entry["key"]: entry["rung"] for entry in group.entries}
    at = Conditions(dict.fromkeys(rungs.values(), 1.0), elasticities(made, rungs))
    return {key for key, time in measurements(made, rungs, at).items() if time.error > NOISY}


def _times(visits: Visits, rungs: dict[str, str], device: Device) -> tuple[dict[str, Measurement], dict[str, Any]]:
    """The time of every workload at the machine's calm speed, and what a table states of that speed."""
    seen = calm_speed(visits, rungs)
    known = remember(device, seen)
    calm = {rung: known[rung] for rung in seen}
    felt = elasticities(visits, rungs)
    times = measurements(visits, rungs, Conditions(calm, felt))
    slower = slowdown(times.values())
    if slower > 1 + NOTED:
        log(f"the machine was busy, {100 * (slower - 1):.0f}% slower than calm: times stand at its calm speed")
    return times, {"calm_ms": calm, "elasticity": felt, "slowdown": slower}


@dataclass
class _Recording:
    """Keeps visits, and shows them and what processes do before they begin with theirs."""

    journal: Journal
    advance: Advance
    note: str = ""

    def __call__(self, key: str, turn: int, visit: Visit) -> None:
        self.journal.record(key, turn, visit)
        self.advance(1, "visiting" if self.note else "")  # a bar keeps a note until it is given another
        self.note = ""

    def told(self, words: str) -> None:
        self.note = words
        self.advance(0, words)


def draw_networks(space: SearchSpace, effort: Effort, seed: int) -> tuple[list[Arch], list[Arch]]:
    """The whole networks that calibrate a table and those, all others, that prove it.

    Where the fit leaves less than half of what `effort` asks for the proof, as it does in a space of few networks, the
    proof has its share of all of them instead. A space of so few that fewer than two are left gives every other one to
    the proof; one of fewer than `MIN_TO_PROVE` has a table that is calibrated on all of them and not proven.
    """
    fit = [arch for _, arch in spread_networks(space, effort.fit_networks, seed, "fit")]
    taken = {arch.id for arch in fit}
    drawn = spread_networks(space, effort.held_out_networks, seed, "held_out")
    held_out = [arch for _, arch in drawn if arch.id not in taken]
    known = fit + held_out
    if len(held_out) >= 2:
        share = len(known) * effort.held_out_networks // (effort.fit_networks + effort.held_out_networks)
        if 2 * len(held_out) < effort.held_out_networks and (missing := share - len(held_out)) > 0:
            moved = set(np.linspace(0, len(fit) - 1, missing).round().astype(int).tolist())
            held_out += [arch for i, arch in enumerate(fit) if i in moved]
            fit = [arch for i, arch in enumerate(fit) if i not in moved]
        return fit, held_out
    return (known[::2], known[1::2]) if len(known) >= MIN_TO_PROVE else (known, [])


def shuffled(networks: Sequence[Arch], seed: int) -> list[Arch]:
    """The order in which networks are timed: where not all fit into memory, each part holds fitted and held-out ones.

    Otherwise the machine's drift between the parts would come between calibration and proof.
    """
    return random.Random(f"{seed}/networks").sample(networks, len(networks))


def _phase(description: str, group: Group, visits: Visits) -> Any:
    keys, each = {entry["key"] for entry in group.entries}, group.visits_each
    own = range(group.first * each, (group.first + group.processes) * each)  # what others visited before is not of it
    done = sum(turn in own for key, turns in visits.items() if key in keys for turn in turns)
    total = len(keys) * len(own)
    return phase(description, total=total, unit="visit", completed=done)
