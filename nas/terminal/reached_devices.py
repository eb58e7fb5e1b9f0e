"""A machine that a run directory names is reached where the command asks for it again, and not because it is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from nas.terminal.configuration import cards
from nas.terminal.configuration.composition import CONF
from nas.terminal.configuration.override_text import command


def reached_by(device: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that give the device of a stored card again, as they stand on a command line."""
    card = cards.module_name(device)
    file = CONF / "device" / f"{card}.yaml"
    usual: Any = OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else {}
    differing = {key: value for key, value in device.items() if key != "_target_" and value != usual.get(key)}
    return {"device": card, **{f"device.{key}": value for key, value in differing.items()}}


def check_reached(run: str | Path, stored: Mapping[str, Any]) -> None:
    """Raise `ValueError` where the settings `stored` of `run` would let another machine or interpreter measure."""
    device = stored.get("device")
    if not isinstance(device, Mapping) or not any(device.get(key) for key in ("host", "python")):
        return
    again = command("derive", {"run": str(run), **reached_by(device)})
    raise ValueError(
        f"{run} was measured by {device.get('host') or device.get('python')}, and a run directory reaches nothing "
        f"outside unless asked: give it again, {again}, or go by estimates alone: measure=false"
    )
