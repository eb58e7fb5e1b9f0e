"""Devices: who measures, and whose times a search goes by. One kind a file, one card each in `conf/device`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.latency.device import LOCAL, Device
from nas.latency.devices.base import TargetDevice
from nas.latency.devices.local import LocalDevice
from nas.latency.runtimes import runtime_named
from nas.terminal.configuration import cards

__all__ = ["TargetDevice", "device_of", "given"]


def device_of(found: Device | TargetDevice) -> TargetDevice:
    """A device as it comes; of the key of a table (`Device`) this machine, which measures for it."""
    return LocalDevice(**found.to_request()) if isinstance(found, Device) else found


def check_this_machine(card: Any) -> None:
    """Refuse the settings of this machine that name no runtime or processor, before anything heavy is imported.

    A runtime that lies outside of ours is registered by the module of a card of its own, which is left alone here.
    Raises `ValueError` with what there is.
    """
    if not isinstance(card, Mapping) or card.get("_target_") != cards.target_path(LocalDevice):
        return
    name, runtime, processor = (card.get(key) for key in ("name", "runtime", "processor"))
    if name == LOCAL:
        offered = runtime_named(str(runtime))
        if processor not in offered.processors:
            offered.check_offered(Device(runtime=offered.name, processor=str(processor), dtype=offered.dtypes[0]))


def given(value: Any) -> TargetDevice:
    """What stands for `device` in a configuration: made by a card, or an object that a program gave."""
    return device_of(cards.given(value, "device"))
