"""The device of a run, for the commands that go on with it.

A machine that a run directory names is reached where the command asks for it again, or where this user reached it
before, and not because it is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from nas.runs.run import Run
from nas.terminal.configuration import cards
from nas.terminal.configuration.arguments import split
from nas.terminal.configuration.card_roles import check_places
from nas.terminal.configuration.composition import CONF
from nas.terminal.configuration.moved_targets import moved
from nas.terminal.configuration.override_text import command
from nas.terminal.progress import log
from nas.terminal.reached_before import is_known
from nas.terminal.renamed_keys import present_config

TABLE = "table.json"  # of a run directory
LOCAL_ONLY = "python"  # the setting of a device here that names a program


def reached_by(device: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that give the device of a stored card again, as they stand on a command line."""
    card = cards.module_name(device)
    file = CONF / "device" / f"{card}.yaml"
    usual: Any = OmegaConf.to_container(OmegaConf.load(file)) if file.exists() else {}
    differing = {key: value for key, value in device.items() if key != "_target_" and value != usual.get(key)}
    return {"device": card, **{f"device.{key}": value for key, value in differing.items()}}


def check_reached(run: str | Path, stored: Mapping[str, Any]) -> None:
    """Raise `ValueError` where the settings `stored` of `run` would let a machine or interpreter measure that this user
    did not reach before."""
    device = stored.get("device")
    if not isinstance(device, Mapping) or not any(device.get(key) for key in ("host", LOCAL_ONLY)):
        return
    if device.get("host") and is_known(device):
        return
    again = command("derive", {"run": str(run), **reached_by(device)})
    raise ValueError(
        f"{run} was measured by {device.get('host') or device.get('python')}, and a run directory reaches nothing "
        f"outside that you did not reach before: give it again, {again}, or go by estimates alone: measure=false"
    )


def given_keys() -> list[str]:
    """The keys that the command line gave to the command that is running."""
    return [split(text)[0] for text in HydraConfig.get().overrides.task]


def with_device_of_run(config: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """`config` of a network `arch`, with the device of the search that found it, where that is not this machine.

    As it is where the command was `given` a device, and where `arch` lies in no run of such a search. What is taken is
    said. A board that this user did not reach before is named instead, and the configured device holds.
    """
    if any(key == "device" or key.startswith("device.") for key in given):
        return dict(config)
    found = _device_of(str(config["arch"]))
    if found is None:
        return dict(config)
    run, device = found
    again = command(None, reached_by(device))
    if device.get("host") and not is_known(device):
        log(f"{run} was searched for {device['host']}, which was not reached from here before: give it again, {again}")
        return dict(config)
    whose = f"{device['host']} over ssh" if device.get("host") else f"that of the table {device['file']}"
    log(f"device: {whose}, which {run} was searched for; another one: device=local")
    return {**config, "device": device}


def _device_of(arch: str) -> tuple[Path, dict[str, Any]] | None:
    """The run of the search that `arch`, a path, lies in, and the card of its device; None where it is this machine.

    The table of a run is its own copy, whatever became of the file that it was copied from.
    """
    path = Path(arch.removeprefix("local-dir:"))
    if arch.lstrip().startswith("{") or not path.exists():
        return None
    run = next((place for place in (path, *path.parents[:2]) if (place / "config.yaml").is_file()), None)
    if run is None or not (run / TABLE).is_file():
        return None
    try:
        device = present_config(moved(Run.read_config(run))).get("device")
        check_places({"device": device})
        if not isinstance(device, Mapping) or not {"host", "file"} & {key for key, value in device.items() if value}:
            return None
        named = str(device.get("_target_"))
        known = [str(OmegaConf.load(file)["_target_"]) for file in (CONF / "device").glob("*.yaml")]  # type: ignore[index]
        if named not in known:
            return None
    except ValueError:  # of a run that cannot be read the network can still be
        return None
    if device.get("file"):
        device = {**device, "file": str(run / TABLE)}
    return run, dict(device)
