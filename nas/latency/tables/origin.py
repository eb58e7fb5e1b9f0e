"""Where a table's times come from: the identity of who measured it, and whether that is this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from nas.latency.device import LOCAL, Device
from nas.latency.measuring.timing import measuring_version
from nas.latency.runtimes import environment
from nas.terminal.progress import log
from search_spaces.arch import own_code
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.plain_data.identity import Identity, differences
from search_spaces.plain_data.own_code import other_code


def measured_by(device: Device, found: Mapping[str, Any]) -> Identity:
    """What the times of a table depend on beside its rows: the device's key, processor, runtime version, our code, and
    that of the user's own blocks and runtime (tables from before that was kept do not say it).

    `found` is the environment the table was measured in.
    """
    machine = {name: found.get(name) for name in ("cpu", "cores", "gpu", device.runtime)}
    own = {name: found[name] for name in ("code", "runtime_code") if name in found}
    return {"device": device.to_dict(), **machine, "measuring": found.get("measuring", 1), **own}


def here(device: Device) -> dict[str, Any]:
    """The environment that a measurement for `device` has on this machine, with the version of the measuring code."""
    return {**environment(device), "measuring": measuring_version(device.dtype)}


def not_this_machine(device: Device) -> str | None:
    """Why nothing is measured here for `device` where there is no table to go by; None where it is this machine.

    A time of this machine must not be filed under another device's name.
    """
    if device.name == LOCAL:
        return None
    return f"device {device.name} is not this machine; device.name={LOCAL} measures here"


def is_carried(found: Mapping[str, Any]) -> bool:
    """Whether a table with the environment `found` came from a kit or a file, not from a build."""
    return "kit" in found or "imported" in found


def note_other_code(of: str, found: Mapping[str, Any], rows: Iterable[tuple[Layer, Shape]]) -> None:
    """Say it where the times `of` a table of another device, measured in `found`, are those of other code of the
    user's own blocks than there is now; a table from before that was kept does not say it."""
    now = own_code(rows).get("code", "none")
    if (changed := other_code(found.get("code", now), now)) is not None:
        _say(
            f"NOTE: {of} has the times of other code of the blocks of your own ({'; now '.join(changed)}): they may "
            "no longer hold, and that device can measure them anew"
        )


@functools.cache  # a command may look at a table several times
def _say(line: str) -> None:
    log(line)


def elsewhere(device: Device, found: Mapping[str, Any], rows: Iterable[tuple[Layer, Shape]]) -> str:
    """In words, how a table of `rows` on `device`, measured in `found`, is not of this machine as it is now; empty
    where it is."""
    if "imported" in found:
        return f"it was imported from {found['imported'].get('file')}"
    now = {**here(device), **(own_code(rows) if "code" in found else {})}
    return "; ".join(differences(measured_by(device, found), measured_by(device, now)))
