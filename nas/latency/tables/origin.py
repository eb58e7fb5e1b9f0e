"""Where a table's times come from: the identity of who measured it, and whether that is this machine."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nas.latency.device import LOCAL, Device
from nas.latency.measuring.timing import measuring_version
from nas.latency.runtimes import environment
from search_spaces.blocks import Layer
from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.plain_data.identity import Identity, differences


def measured_by(device: Device, found: Mapping[str, Any]) -> Identity:
    """What the times of a table depend on beside its rows: the device's key, processor, runtime version, our code, and
    that of the user's own blocks (tables from before that was kept do not say it).

    `found` is the environment the table was measured in.
    """
    machine = {name: found.get(name) for name in ("cpu", "cores", "gpu", device.runtime)}
    own = {"code": found["code"]} if "code" in found else {}
    return {"device": device.to_dict(), **machine, "measuring": found.get("measuring", 1), **own}


def own_code(layers: Iterable[Layer]) -> dict[str, str]:
    """`code`: the modules of the user's own that define `layers` and their activations, each with a digest of its
    statements, comments and layout left out; nothing where all are ours."""
    made_by: set[type | Callable[..., Any]] = set()
    for layer in layers:
        named = (ACTIVATIONS.get(value) for value in layer.to_dict().values() if isinstance(value, str))
        made_by |= {type(layer), *(act for act in named if callable(act))}
    names = sorted({made.__module__ for made in made_by if not made.__module__.startswith("search_spaces.")})
    return {"code": ", ".join(f"{name} {_statements(name)}" for name in names)} if names else {}


def _statements(module: str) -> str:
    try:
        text = ast.unparse(ast.parse(inspect.getsource(sys.modules[module])))
    except (OSError, TypeError):  # it has no source
        return "unknown"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


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


def elsewhere(device: Device, found: Mapping[str, Any], layers: Iterable[Layer]) -> str:
    """In words, how a table of `device` and `layers`, measured in `found`, is not of this machine as it is now; empty
    where it is."""
    if "imported" in found:
        return f"it was imported from {found['imported'].get('file')}"
    now = {**here(device), **(own_code(layers) if "code" in found else {})}
    return "; ".join(differences(measured_by(device, found), measured_by(device, now)))
