"""A device of which there is a table and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.device import Device
from nas.latency.devices.base import TargetDevice

if TYPE_CHECKING:
    from nas.latency.effort import Effort, Visiting
    from nas.latency.measuring.network_time import NetworkTime
    from nas.latency.tables.table import LatencyTable
    from search_spaces.arch import Arch
    from search_spaces.space import SearchSpace


@dataclass(frozen=True)
class TableDevice(TargetDevice):
    """The device of the latency table in `file`, whoever made it: built, imported, from a kit.

    Estimates decide alone. Nothing is measured, and the file is only read.
    """

    file: str

    @cached_property
    def found(self) -> LatencyTable:
        """The table. Raises `ValueError` where there is none in `file`."""
        from nas.latency.tables.table import LatencyTable

        return LatencyTable.load(self.file)

    @property
    def key(self) -> Device:
        return self.found.device

    def check_asked(self, measured: bool = True) -> None:
        self.check()

    def check(self) -> None:
        _ = self.found

    def about(self) -> Mapping[str, Any]:
        return self.found.environment

    def table(
        self,
        space: SearchSpace,
        folder: str | Path,
        *,
        effort: Effort | None = None,
        visiting: Visiting | None = None,
        refresh: bool = False,
    ) -> LatencyTable:
        """The table, for a space that it prices."""
        from nas.latency.tables.origin import note_other_code  # here: torch takes seconds

        if refresh:
            raise ValueError(
                f"device=table measures nothing, so refresh=true cannot renew {self.file}; its own device can: measure "
                "there, or import what was measured there"
            )
        try:
            self.found.check(space)
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}") from None
        note_other_code(str(self.file), self.found.environment, self.found.keys)
        return self.found

    def table_path(self, space: SearchSpace, folder: str | Path) -> Path:
        return Path(self.file)

    def tables_in(self, folder: Path) -> dict[Path, LatencyTable]:
        return {Path(self.file): self.found}

    def estimate_ms(self, arch: Arch) -> float | None:
        try:
            return self.found.estimate_ms(arch)
        except ValueError:  # it is a network of another space
            return None

    def not_measured(self, table: LatencyTable | None) -> str | None:
        return f"device=table is the table of {self.key} alone, and that device is not here"

    def measure(self, archs: Sequence[Arch], table: LatencyTable | None, seed: int = 0) -> list[NetworkTime]:
        raise ValueError(f"{self.not_measured(table)}; nothing can be measured on it")

    def files_not_timed(self) -> str | None:
        return self.not_measured(None)

    def of_run(self, table: Path) -> TargetDevice:
        return TableDevice(str(table))
