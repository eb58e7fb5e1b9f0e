"""This machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.device import LOCAL, Device, check_pin
from nas.latency.devices.base import TargetDevice
from nas.terminal.progress import log

if TYPE_CHECKING:
    from nas.latency.effort import Effort, Visiting
    from nas.latency.measuring.network_time import NetworkTime
    from nas.latency.measuring.samples import Conditions
    from nas.latency.tables.table import LatencyTable
    from search_spaces.arch import Arch
    from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class LocalDevice(TargetDevice):
    """This machine; the fields are those of the key of its tables (`nas.latency.device.Device`), and the interpreter
    that has the runtime installed where it is not this one.

    Under a `name` other than `local` it also stands for the device whose table lies in the folder of tables by that
    name, measured elsewhere: that is used as it is, and nothing is measured.
    """

    name: str = "local"
    runtime: str = "onnxruntime"
    dtype: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    processor: str = "cpu"
    python: str | None = None

    def __post_init__(self) -> None:
        _ = self.key  # its fields are checked

    @cached_property
    def key(self) -> Device:
        return Device(**asdict(self))

    def check(self) -> None:
        from nas.latency.runtimes import check_local

        check_local(self.key)

    def check_asked(self, measured: bool = True) -> None:
        """Under another name it may be a device of any runtime, of which there is a table."""
        from nas.latency.runtimes import check_local, check_offered

        if self.name != LOCAL:
            return
        check_offered(self.key)
        if measured and self.processor == "cpu" and self.python is None:  # GPUs are seen by torch alone
            check_local(self.key)

    def check_pin(self) -> None:
        check_pin(self.threads)

    def about(self) -> Mapping[str, Any]:
        from nas.latency.tables.origin import here

        return here(self.key)

    def table(
        self,
        space: SearchSpace,
        folder: str | Path,
        *,
        effort: Effort | None = None,
        visiting: Visiting | None = None,
        refresh: bool = False,
    ) -> LatencyTable:
        if visiting is not None and visiting.pin:
            self.check_pin()
        from nas.latency.build import build_table  # here: torch takes seconds

        return build_table(space, self.key, folder, effort=effort, visiting=visiting, refresh=refresh)

    def tables_in(self, folder: Path) -> dict[Path, LatencyTable]:
        """But for those of `local` that another machine measured."""
        found = {path: self._here(table) for path, table in super().tables_in(folder).items()}
        for path, table in found.items() if self.name == LOCAL else ():
            if not table.is_of_this_machine:
                log(f"{path} is left out, as it is not of this machine as it is now: {table.elsewhere}")
        return {path: table for path, table in found.items() if self.name != LOCAL or table.is_of_this_machine}

    def not_measured(self, table: LatencyTable | None) -> str | None:
        """A table of another machine (from a kit, a file, brought with the run) is used as it is, but what this machine
        would measure says nothing about that one."""
        from nas.latency.tables.origin import is_carried, not_this_machine

        if table is None:
            return not_this_machine(self.key)
        if self.name != LOCAL and is_carried(table.environment) and table.is_of_this_machine:
            return f"the table of {table.device.key} was brought from that device, which is not this machine"
        ours = self._here(table)
        if ours.is_of_this_machine:
            return None
        return f"the table of {table.device.key} is not of this machine as it is now ({ours.elsewhere})"

    def _here(self, table: LatencyTable) -> LatencyTable:
        """`table` as one of this machine: a file does not name the interpreter that has its runtime."""
        return replace(table, device=self.key) if self.python is not None and table.device == self.key else table

    def measure(self, archs: Sequence[Arch], table: LatencyTable | None, seed: int = 0) -> list[NetworkTime]:
        """By processes of their own: one that has trained measures slower, and each has its own luck."""
        from nas.latency.measuring.networks import measure_networks

        return measure_networks(archs, self.key, self._conditions(table), seed)

    def measure_briefly(self, archs: Sequence[Arch], table: LatencyTable, seed: int = 0) -> list[NetworkTime]:
        from nas.latency.measuring.networks import BRIEF, measure_networks

        return measure_networks(archs, self.key, self._conditions(table), seed, BRIEF)

    def _conditions(self, table: LatencyTable | None) -> Conditions | None:
        """What times to be compared with those of `table` stand at. Raises `ValueError` where nothing is measured."""
        from nas.latency.measuring.samples import Conditions

        if reason := self.not_measured(table):
            raise ValueError(f"{reason}; nothing can be measured on it")
        return None if table is None else Conditions.of_table(table.environment)

    def files_not_timed(self) -> str | None:
        return self.not_measured(None)
