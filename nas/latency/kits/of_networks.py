"""Kits of networks: those found for a device, measured on it, so that a budget is met there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.kits.files import SUBJECT, Contents, write_folder
from nas.latency.kits.results import naming, read_results
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.samples import Conditions
from nas.terminal.progress import log
from search_spaces.arch import Arch

ROLE = "found"
EFFORT = Effort(network_rounds=15, network_visit_ms=50.0)  # of a network that is measured by itself


def write_network_kit(
    archs: Sequence[Arch],
    device: Device,
    folder: str | Path,
    *,
    seed: int = 0,
    command: str = "...",
    more: Mapping[str, Any] | None = None,
) -> Path:
    """Write the kit of `archs` for `device` to the new folder `folder`; see `nas.latency.kits.files.write_folder`.

    `command`: the settings that its results are imported with; `more`: further entries of its `kit.json`.
    """
    distinct = {arch.id: arch for arch in archs}
    if not distinct:
        raise ValueError("a kit of networks needs at least one")
    contents = Contents(SUBJECT, device, EFFORT, seed, (), [(arch, ROLE) for arch in distinct.values()], more or {})
    return write_folder(contents, folder, f"python -m nas.latency {command} action=import kit=<this folder>")


def import_network_times(folder: str | Path, device: Device, at: Conditions | None = None) -> dict[str, NetworkTime]:
    """The time of each network, by its id, that the results in the kit `folder` give.

    `at`: what they stand at, the conditions of a table; by default the calmest speed seen meanwhile.

    Raises `ValueError` as `read_results` does, and for a kit of a space or of another device.
    """
    folder = Path(folder)
    found = read_results(folder)
    with naming(folder):
        if found.kit["space"] != SUBJECT or found.kit["rows"]:
            raise ValueError(f"it is the kit of the space {found.kit['space']!r}, not of networks")
        if found.device != device:
            raise ValueError(f"it is of device {found.device}, not of {device}")
        networks = [(arch.id, key) for arch, key, _ in found.networks()]
        times = found.times(at or Conditions(found.calm_speed()))
    if found.fell_back is not None and found.fell_back.elsewhere:
        log(f"NOTE: {found.fell_back.sentence()} on {device}")
    return {name: times[key].of_network() for name, key in networks}
