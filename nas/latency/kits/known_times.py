"""`measured.json` of a run: the times of its networks that were measured elsewhere, on its device, and brought back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.latency.device import Device
from nas.latency.measuring.network_time import NetworkTime
from nas.runs.files import write_json
from nas.runs.stored import Milliseconds, NonNegative, Positive, Schema, read_record, record
from search_spaces.plain_data import identity

FILE = "measured.json"
FORMAT = "nas.measured_networks"
VERSION = 1
STORED: Schema = {"format": str, "version": int, "device": dict, "networks": list[dict], "digest": str}
NETWORK: Schema = dict.fromkeys(("arch", "taken", "kit"), str)
TIME: Schema = {
    **dict.fromkeys(("latency_ms", "now_ms", "slowdown"), Milliseconds),
    **dict.fromkeys(("spread_ms", "error"), NonNegative),
    "processes": Positive,
}


@dataclass(frozen=True)
class Known:
    """The time of a network: `taken` when, by the device's clock, and brought by the `kit` of that id."""

    time: NetworkTime
    taken: str
    kit: str


def read_known(run: Path, device: Device) -> dict[str, Known]:
    """The known times of networks of `run` on `device`, by the arch's id. Raises `ValueError` for a damaged file."""
    of, known = _read(run)
    return known if of == device else {}


def _read(run: Path) -> tuple[Device | None, dict[str, Known]]:
    """Whose times there are, and what they are; None where nothing was brought back."""
    path = run / FILE
    if not path.exists():
        return None, {}
    try:
        stored = read_record(path, "measured networks", STORED)
        if (stored["format"], stored["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it is {stored['format']!r}, version {stored['version']}")
        if stored.pop("digest") != identity.digest(stored):
            raise ValueError("its content does not match its digest")
        of = Device.from_dict(stored["device"])
        records = [record(network, {**NETWORK, **TIME}, "a network") for network in stored["networks"]]
    except ValueError as error:
        raise ValueError(f"{path} does not hold times of this run's networks: {error}; remove it, and import") from None
    return of, {
        network["arch"]: Known(NetworkTime(**{name: network[name] for name in TIME}), network["taken"], network["kit"])
        for network in records
    }


def add_known(run: Path, device: Device, found: Mapping[str, Known]) -> dict[str, Known]:
    """All known times with those `found`, which are stored; of two of one network the one taken later holds.

    Raises `ValueError` for a damaged file, and for one of another device.
    """
    of, known = _read(run)
    if of not in (None, device):
        raise ValueError(f"{run / FILE} holds times of {of}, and none of {device} can stand beside them")
    for arch, one in found.items():
        if arch not in known or known[arch].taken <= one.taken:
            known[arch] = one
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "device": device.to_dict(),
        "networks": [
            {"arch": arch, "taken": known[arch].taken, "kit": known[arch].kit, **dataclasses.asdict(known[arch].time)}
            for arch in sorted(known)
        ],
    }
    write_json(run / FILE, {**content, "digest": identity.digest(content)})
    return known
