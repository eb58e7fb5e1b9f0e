"""A board or server that is reached by ssh, and measures for itself."""

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
from nas.latency.devices.base import Finding, TargetDevice
from nas.latency.devices.remote import checks
from nas.latency.devices.remote.address import Address
from nas.latency.devices.remote.checks import Found
from nas.terminal.progress import log
from nas.terminal.reached_before import BY, remember

if TYPE_CHECKING:
    from nas.latency.effort import Effort, Visiting
    from nas.latency.measuring.network_time import NetworkTime
    from nas.latency.tables.table import LatencyTable
    from search_spaces.arch import Arch
    from search_spaces.space import SearchSpace

OTHER_NAME = "give the board a name of its own, device.name=board2, or go by that table alone, device=table"
AGAIN = "measure it anew: python -m nas.latency device=ssh ... refresh=true"
STATE = ("cpu", "cores", "measuring")  # what times depend on beside the key of their table and its runtime's version


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
        if self.host is None:
            raise ValueError("device=ssh needs the machine: device.host=pi@board, or a name of ~/.ssh/config")
        _ = self.address  # its fields are checked
        if not self.folder or not self.folder.isprintable():
            raise ValueError(f"device.folder must be a folder on the device, got {self.folder!r}")
        if self.key.name == "local":
            raise ValueError("`local` is the machine we run on; give the board another name: device.name=board")

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
        found = checks.look(self.address, self.folder, self.runtime, self.dtype)
        checks.check(found, self.address, self.folder, self.key)
        remember({name: getattr(self, name) for name in BY})
        return found

    def check_asked(self, measured: bool = True) -> None:
        from nas.latency.runtimes import check_offered

        check_offered(self.key)

    def check(self) -> None:
        self.check_asked()
        _ = self._found

    def about(self) -> Mapping[str, Any]:
        from nas.latency.measuring.timing import measuring_version

        return {**self._found.environment(), "measuring": measuring_version(self.dtype)}

    def findings(self) -> list[Finding]:
        """What measuring needs of the machine, step by step; nothing of it is measured."""
        try:
            found = checks.look(self.address, self.folder, self.runtime, self.dtype)
        except ValueError as error:
            return [(f"{self.host} over ssh", "bad", "not usable", str(error))]
        return checks.findings(found, self.address, self.folder, self.key)

    def table(
        self,
        space: SearchSpace,
        folder: str | Path,
        *,
        effort: Effort | None = None,
        visiting: Visiting | None = None,
        refresh: bool = False,
    ) -> LatencyTable:
        """The machine is asked what it is even where its table lies in `folder`: found networks will be measured there,
        and a table of another processor or version says nothing of them."""
        from nas.latency.effort import Effort, Visiting
        from nas.latency.measuring.journal import locked

        effort, visiting = effort or Effort(), visiting or Visiting()
        if visiting.pin:
            self.check_pin()
        path = self.table_path(space, folder)
        self.check()
        if not refresh and (known := self._known(path, space, effort)) is not None:
            return known
        with locked(path.with_suffix(".lock"), log):
            if not refresh and (known := self._known(path, space, effort)) is not None:
                return known
            self._check_may_replace(path)
            table = self._measured(space, path, effort, visiting, refresh)
            table.save(path)
        return table

    def not_measured(self, table: LatencyTable | None) -> str | None:
        """None: it measures. A table that it did not measure as it is now is refused rather than gone by unmeasured."""
        if table is not None and (reason := self._elsewhere(table)):
            raise ValueError(f"the table of {table.device} is not of {self.host} as it is now: {reason}")
        return None

    def measure(self, archs: Sequence[Arch], table: LatencyTable | None, seed: int = 0) -> list[NetworkTime]:
        """By one kit of all of them. Other searches' measuring there is waited for."""
        from nas.latency.devices.remote.job import Job
        from nas.latency.kits.of_networks import import_network_times, write_network_kit
        from nas.latency.measuring.samples import Conditions

        self.check()
        self.not_measured(table)
        with tempfile.TemporaryDirectory(prefix="nas-kit-") as folder:
            kit = write_network_kit(archs, self.key, Path(folder) / "kit", seed=seed)
            Job(self.address, self.folder, kit, self._state(), anew=True, forget=True).run()
            at = None if table is None else Conditions.of_table(table.environment)
            times = import_network_times(kit, self.key, at)
        return [times[arch.id] for arch in archs]

    def _state(self) -> dict[str, Any]:
        about = self.about()
        return {name: about[name] for name in (*STATE, self.runtime)}

    def _known(self, path: Path, space: SearchSpace, effort: Effort) -> LatencyTable | None:
        """The table in `path` where it is as well proven as asked. Raises `ValueError` where it is another's."""
        from nas.latency.tables.reuse import is_proven
        from nas.latency.tables.table import LatencyTable

        if not path.exists():
            return None
        table = LatencyTable.load(path, space, self.key)
        if reason := self._elsewhere(table):
            raise ValueError(f"{path} is not of {self.host} as it is now: {reason}")
        return table if is_proven(table, effort.held_out_networks) else None

    def _elsewhere(self, table: LatencyTable) -> str:
        """In words with the cure, how `table` was not measured by this machine as it is now; empty where it was."""
        from nas.latency.tables.origin import measured_by
        from search_spaces.arch import own_code
        from search_spaces.plain_data.identity import differences

        if "imported" in table.environment:
            return f"it was imported from {table.environment['imported'].get('file')}; {OTHER_NAME}"
        code = {"code": own_code(table.keys).get("code", "none")} if "code" in table.environment else {}
        then, now = (measured_by(self.key, found) for found in (table.environment, {**self.about(), **code}))
        differing = [name for name in now if differences({name: then.get(name)}, {name: now[name]})]
        if not differing:
            return ""
        cure = OTHER_NAME if set(differing) & {"cpu", "cores", "gpu"} else AGAIN
        return f"{'; '.join(differences(then, now))}; {cure}"

    def _check_may_replace(self, path: Path) -> None:
        """Raise `ValueError` where the table in `path` is another machine's: nobody but its device replaces a table."""
        from nas.latency.tables.table import LatencyTable

        try:
            reason = self._elsewhere(LatencyTable.load(path)) if path.exists() else ""
        except ValueError:
            return  # a damaged table may be measured again
        if OTHER_NAME in reason:
            raise ValueError(f"{path} is not of {self.host}, which must not replace it: {reason}")

    def _measured(self, space: SearchSpace, path: Path, effort: Effort, visiting: Visiting, anew: bool) -> LatencyTable:
        """The table of `space`, by the machine. The kit stays beside `path` until it is there."""
        from nas.latency.devices.remote.job import Job
        from nas.latency.kits.of_space import import_kit, write_kit

        kit = path.with_suffix(".kit")
        if not _is_kit_of(kit, space, self.key, effort, visiting.seed):
            shutil.rmtree(kit, ignore_errors=True)
            write_kit(space, self.key, kit, seed=visiting.seed, effort=effort, command=f"space={space.name} ...")
        Job(self.address, self.folder, kit, self._state(), anew=anew).run()
        table = import_kit(kit, space)
        if reason := self._elsewhere(table):
            raise ValueError(f"{self.host} was not the same machine throughout: {reason}")
        shutil.rmtree(kit)
        known = {**table.environment, "held_out_networks": effort.held_out_networks}
        return dataclasses.replace(table, environment=known)


def _is_kit_of(kit: Path, space: SearchSpace, device: Device, effort: Effort, seed: int) -> bool:
    """Whether the folder `kit` is the kit that would be written: an interrupted measurement is one of its graphs."""
    from nas.latency.kits.files import VERSION
    from nas.latency.measuring.journal import seal
    from nas.latency.tables.table import entries, row_key
    from nas.runs.files import read_json
    from search_spaces.arch import own_code

    try:
        data = read_json(kit / "kit.json", "latency kit")
        asked = (VERSION, space.name, device.to_dict(), dataclasses.asdict(effort), seed)
        same = asked == tuple(data[name] for name in ("version", "space", "device", "effort", "seed"))
        rows, now = {row["key"] for row in data["rows"]}, entries(space)
        same = same and rows == {"row:" + row_key(*row) for row in now}
        return bool(same and data.get("code") == own_code(now).get("code") and data["id"] == seal(data, "id"))
    except (OSError, ValueError, KeyError, TypeError):
        return False
