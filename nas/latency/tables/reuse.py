"""Whether a table that is there already may be used, and what becomes of it where it may not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.latency.device import Device
from nas.latency.tables.origin import LOCAL, here, is_carried, measured_by, note_other_code
from nas.latency.tables.table import LatencyTable, entries
from nas.terminal.progress import log
from search_spaces.arch import own_code
from search_spaces.plain_data.identity import digest, plain
from search_spaces.space import SearchSpace


def usable(path: Path, space: SearchSpace, device: Device, held_out_networks: int) -> LatencyTable | None:
    """The table in `path` where it is of this machine and proven on `held_out_networks`, or of another device."""
    if not path.exists():
        return None
    table = LatencyTable.load(path, space, device)
    if _is_of_another_device(table):
        reason = table.elsewhere or f"it was measured with the kit {table.environment.get('kit')}"
        log(f"{path.name} is used as it is, nothing is measured: {reason}")
        note_other_code(path.name, table.environment, table.keys)
        return table
    return table if table.is_of_this_machine and is_proven(table, held_out_networks) else None


def _is_of_another_device(table: LatencyTable) -> bool:
    """Whether `table` is of a device by a name of its own, measured elsewhere: nothing of ours may take its place."""
    return table.device.name != LOCAL and (is_carried(table.environment) or not table.is_of_this_machine)


def is_proven(table: LatencyTable, held_out_networks: int) -> bool:
    """Whether the proof is as good as asked, or was as good as a space of few networks allows."""
    asked = table.environment.get("held_out_networks", 0)
    return max(asked, table.proof.networks if table.proof else 0) >= held_out_networks


def check_may_replace(path: Path, table: LatencyTable, refresh: bool) -> None:
    """Raise `ValueError` where an imported `table` must not take the place of what lies in `path`.

    `refresh` lets it replace what was brought from the same device before, and a damaged file: never a table that a
    machine built for itself under that name, nor one of another processor.
    """
    if not path.exists():
        return
    if not refresh:
        raise ValueError(f"{path} exists; replace it with refresh=true, or name the device otherwise")
    try:
        known = LatencyTable.load(path)
    except ValueError:
        return
    if not is_carried(known.environment):
        whose = "this machine" if known.is_of_this_machine else "another machine"
        raise ValueError(
            f"{path} was measured by {whose} itself, and an import does not replace it; name the device of the import "
            "otherwise, device.name=..., or remove the file"
        )
    for part in ("cpu", "cores"):
        before, now = (found.environment.get(part) for found in (known, table))
        if None not in (before, now) and before != now:
            raise ValueError(
                f"{path} is of another device: its {part} is {before!r}, of the import {now!r}; name this device "
                "otherwise, device.name=..., or remove the file"
            )


def make_room(path: Path, space: SearchSpace, device: Device, refresh: bool) -> None:
    """Set the table in `path` aside where another machine measured it, or other code of the user's own blocks, and
    bring back this one's, if there is one."""
    try:
        known = LatencyTable.load(path, space, device)
    except ValueError:
        if refresh and device.name == LOCAL:
            return  # a damaged table of ours may be replaced on request
        raise
    if _is_of_another_device(known):
        raise ValueError(
            f"{path} holds the times of another device ({known.elsewhere or 'from a kit'}), and refresh=true would put "
            "this machine's in their place; give this machine another device.name, or remove the file"
        )
    if known.is_of_this_machine:
        return
    aside = _aside(path, device, known.environment)
    log(f"{path.name} was measured by another machine, runtime or code ({known.elsewhere}); it is kept as {aside.name}")
    path.replace(aside)
    mine = _aside(path, device, {**here(device), **own_code(entries(space))})
    if mine.exists():
        log(f"{mine.name} was measured by this one and takes its place")
        mine.replace(path)


def _aside(path: Path, device: Device, found: Mapping[str, Any]) -> Path:
    """Where the table of `path` lies while another machine's has its place: named by the identity of its own."""
    return path.with_suffix(f".kept-{digest(plain(measured_by(device, found)))[:8]}")
