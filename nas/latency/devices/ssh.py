"""A board or server that is reached by ssh."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.device import Device
from nas.latency.devices.base import TargetDevice
from nas.latency.devices.remote import checks
from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.checks import Finding, Found
from nas.terminal.progress import log

if TYPE_CHECKING:
    from nas.latency.effort import Effort, Visiting
    from nas.latency.measuring.network_time import NetworkTime
    from nas.latency.tables.table import LatencyTable
    from search_spaces.arch import Arch
    from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class SshDevice(TargetDevice):
    """The machine `host` (as ssh takes it: `pi@board`, or a name of ~/.ssh/config), which measures for itself.

    `port`, `options` (settings of ssh_config(5), `Name=value`) and `python`, the interpreter there with numpy and a
    runtime, say how it is reached; `folder` there is where kits are kept. `name` is what its tables go by, by default
    the machine's part of `host`. The rest is the key of its tables (`nas.latency.device.Device`).
    """

    host: str | None = None
    port: int | None = None
    options: Sequence[str] = ()
    python: str = "python3"
    folder: str = "~/.cache/nas-under-budget"
    name: str | None = None
    runtime: str = "onnxruntime"
    dtype: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    processor: str = "cpu"

    def __post_init__(self) -> None:
        from nas.latency.tables.origin import LOCAL

        if self.host is None:
            raise ValueError("device=ssh needs the machine: device.host=pi@board, or a name of ~/.ssh/config")
        if not self.folder or not self.folder.isprintable():
            raise ValueError(f"device.folder must be a folder on the device, got {self.folder!r}")
        if self.key.name == LOCAL:
            raise ValueError(f"{LOCAL!r} is the machine we run on; give the board another name: device.name=board")
        if self.runtime != "onnxruntime":
            raise ValueError(f"over ssh onnxruntime is measured, not {self.runtime!r}; set device.runtime=onnxruntime")

    @cached_property
    def address(self) -> Address:
        return Address(str(self.host), self.port, tuple(self.options), self.python)

    @cached_property
    def key(self) -> Device:
        name = self.address.name if self.name is None else self.name
        return Device(name, self.runtime, self.dtype, self.batch_size, self.threads, self.processor)

    @cached_property
    def _found(self) -> Found:
        """What the machine is, asked once: a search must not find another one half-way."""
        found = checks.look(self.address, self.folder)
        checks.check(found, self.address, self.folder, self.key)
        return found

    def check(self) -> None:
        _ = self._found

    def about(self) -> Mapping[str, Any]:
        from nas.latency.measuring.timing import measuring_version

        return {**self._found.environment(), "measuring": measuring_version(self.dtype)}

    def steps(self) -> list[Finding]:
        found = checks.look(self.address, self.folder)
        return checks.findings(found, self.address, self.folder, self.key)
