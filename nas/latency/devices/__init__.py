"""Devices: who measures, and whose times a search goes by. One kind a file, one card each in `conf/device`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas.latency.device import Device
from nas.latency.devices.base import TargetDevice
from nas.latency.devices.local import LocalDevice
from nas.terminal.configuration import cards

__all__ = ["TargetDevice", "device_of", "given"]


def device_of(found: Device | TargetDevice) -> TargetDevice:
    """A device as it comes; of the key of a table (`Device`) this machine, which measures for it."""
    return LocalDevice(**found.to_request()) if isinstance(found, Device) else found


def check_card(card: Any, measured: bool = True, pin: bool = False) -> None:
    """Refuse a card of ours that its device can refuse before anything heavy is imported (`TargetDevice.check_asked`,
    and `check_pin` where its thread is to be bound).

    Objects that a program gave and cards of the user's own are left alone: their modules may register a runtime first.
    """
    if isinstance(card, Mapping) and str(card.get("_target_")).startswith(f"{__name__}."):
        device = given(card)
        device.check_asked(measured)
        if pin:
            device.check_pin()


def given(value: Any) -> TargetDevice:
    """What stands for `device` in a configuration: made by a card, or an object that a program gave."""
    return device_of(cards.given(value, "device"))
