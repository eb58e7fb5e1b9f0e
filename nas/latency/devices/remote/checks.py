"""Whether another machine can measure: what is asked of it step by step, each with its cure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.latency.device import KIT_RUNTIME, Device
from nas.latency.devices.base import Finding
from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.connection import asked
from nas.latency.devices.remote.faults import Lost, lacks, reported, unreachable
from nas.latency.kits.sources import needed
from nas.latency.runtimes import runtime_named
from nas.latency.runtimes.base import Package

OURS = (3, 11)  # of Python, for our own sources
MIN_FREE_MB = 50.0


@dataclass(frozen=True)
class Found:
    """What a machine said of itself, in `agent.about`'s terms; of what `runtime` needs for `dtype`."""

    said: Mapping[str, Any]
    runtime: str = KIT_RUNTIME
    dtype: str = "fp32"

    @property
    def needed(self) -> tuple[Package, ...]:
        return needed(self.runtime, self.dtype)

    def environment(self) -> dict[str, Any]:
        """What its tables state of it."""
        named = {name: self.said.get(name) for name in ("cpu", "cores", "system", "python")}
        found = {package.pip: self.said["packages"][package.module].get("version") for package in self.needed}
        if self.runtime == KIT_RUNTIME:
            return {**named, **found}
        return {**named, "numpy": found["numpy"], **runtime_named(self.runtime).identified(found, self.dtype)}


def look(address: Address, folder: str, runtime: str = KIT_RUNTIME, dtype: str = "fp32") -> Found:
    """Ask the machine what it is, and has of what `runtime` needs for `dtype`. Raises `ValueError` with the cure where
    it cannot be asked."""
    by_itself = runtime == KIT_RUNTIME  # as the script of its kits does
    packages = {package.module: None if by_itself else package.pip for package in needed(runtime, dtype)}
    try:
        reply = asked(address, {"do": "about", "folder": folder, "packages": packages})
    except Lost as lost:
        raise unreachable(address, str(lost)) from None
    if "about" not in reply:
        raise reported(address, folder, str(reply.get("fault")), str(reply.get("text")))
    return Found(reply["about"], runtime, dtype)


def findings(found: Found, address: Address, folder: str, device: Device) -> list[Finding]:
    """Each thing that measuring for `device` needs of the machine, in the order in which it is needed."""
    said = found.said
    steps: list[Finding] = [
        (f"ssh to {address.host}", "ok", "reached", "and lets your key in"),
        _python(said, address, device),
    ]
    for package in found.needed:
        name, state = package.pip, said["packages"][package.module]
        if "version" in state:
            steps.append((f"{name} there", "ok", state["version"], ""))
        else:
            words = "not installed" if "missing" in state else "does not import"
            cure = lacks(address, {package: state}, found.needed) or ""
            steps.append((f"{name} there", "bad", words, cure))
    return [*steps, _cores(said, address, device), _folder(said, address, folder), *_conditions(said)]


def check(found: Found, address: Address, folder: str, device: Device) -> None:
    """Raise `ValueError` with the cure for the first thing that is lacking; of packages all are named together."""
    packages = found.needed
    if words := lacks(address, {each: found.said["packages"][each.module] for each in packages}, packages):
        raise ValueError(words)
    for _, state, _, note in findings(found, address, folder, device):
        if state == "bad":
            raise ValueError(note)


def _python(said: Mapping[str, Any], address: Address, device: Device) -> Finding:
    """Graphs are measured by any Python that our program runs in; modules by our sources."""
    found = str(said["python"])
    if device.runtime != KIT_RUNTIME and tuple(map(int, found.split(".")[:2])) < OURS:
        least = ".".join(map(str, OURS))
        cure = (
            f"{address.python} on {address.host} is Python {found}, device.runtime={device.runtime} needs {least} or "
            f"later there; give another one, device.python=python{least}, or measure device.runtime={KIT_RUNTIME}"
        )
        return "python there", "bad", found, cure
    return "python there", "ok", found, str(said["executable"])


def _cores(said: Mapping[str, Any], address: Address, device: Device) -> Finding:
    usable = said["usable_cores"]
    figure = f"{usable} of {said['cores']} cores"
    if device.threads > usable:
        cure = f"device.threads={device.threads}, but {address.host} has {usable} usable cores; use at most {usable}"
        return "processor there", "bad", figure, cure
    return "processor there", "ok", figure, str(said["cpu"])


def _folder(said: Mapping[str, Any], address: Address, folder: str) -> Finding:
    what = f"folder {folder} there"
    if fault := said.get("folder_fault"):
        return what, "bad", "cannot be used", str(reported(address, folder, fault["fault"], fault["text"]))
    free_mb = said["free_bytes"] / 2**20
    figure = f"{free_mb:,.0f} MB free"
    if free_mb < MIN_FREE_MB:
        needed = f"{free_mb:.1f} MB are free, measuring needs about {MIN_FREE_MB:.0f}"
        return what, "bad", figure, str(reported(address, folder, "full", needed))
    return what, "ok", figure, ""


def _conditions(said: Mapping[str, Any]) -> list[Finding]:
    """What makes times unsteady, though it hinders nothing."""
    busy = said["load"] > 0.5 * said["usable_cores"]
    note = "other programs run there, which slows timings; end them" if busy else ""
    steps: list[Finding] = [("load there", "ok", f"{said['load']:.2f}", note)]
    if running := said.get("running"):
        words = f"kit {running.get('kit')}, process {running.get('pid')}; other measuring waits for it"
        steps.append(("measuring there", "ok", "under way", words))
    if governor := said.get("governor"):
        note = "" if governor == "performance" else "timings are steadier under 'performance'"
        steps.append(("frequency governor there", "ok", governor, note))
    return steps
