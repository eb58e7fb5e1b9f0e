"""Runtimes: what executes a network while it is timed. One a file, which declares it as `RUNTIME`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from nas.latency.device import Device
from nas.latency.measuring.timing import check_threads, machine
from nas.latency.runtimes.base import Runtime
from search_spaces.plain_data.own_code import code_of

NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
_OWN: dict[str, Runtime] = {}


def register(runtime: Runtime) -> None:
    """Let `device.runtime` name a runtime that lies outside this folder. Raises `ValueError` for a name of ours."""
    if runtime.name in NAMES:
        raise ValueError(f"there is a runtime {runtime.name!r} already; give yours another name")
    _OWN[runtime.name] = runtime


def runtime_named(name: str) -> Runtime:
    """The runtime called `name`. Raises `ValueError` for an unknown one."""
    if name in _OWN:
        return _OWN[name]
    if name not in NAMES:
        raise ValueError(f"unknown runtime {name!r}; one of {', '.join([*NAMES, *_OWN])}")
    found = importlib.import_module(f"{__name__}.{name}").RUNTIME
    assert isinstance(found, Runtime)
    return found


def check_offered(device: Device) -> None:
    """Raise `ValueError` where the runtime of `device` has no such arithmetic or processor, on whatever machine."""
    runtime_named(device.runtime).check_offered(device)


def check_local(device: Device) -> None:
    """Raise `ValueError` where this machine cannot measure for `device`: its runtime, dtype, processor or threads."""
    check_offered(device)
    runtime_named(device.runtime).check(device)
    check_threads(device.threads)


def environment(device: Device) -> dict[str, Any]:
    """Where and with what a table is measured: what a reader needs to judge or repeat it."""
    known = device.runtime in (*NAMES, *_OWN)  # a table may be of a runtime that is not among ours
    found = {**machine(), **(runtime_named(device.runtime).versions(device) if known else {})}
    if device.runtime in _OWN and (code := code_of([type(_OWN[device.runtime]).__module__])):
        found["runtime_code"] = code  # versions of packages do not say that it was edited
    if device.processor == "cuda":
        import torch

        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found
