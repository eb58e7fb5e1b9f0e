"""What every kind of device is: whose table a search goes by, and who measures found networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.latency.device import LOCAL, Device

if TYPE_CHECKING:
    from nas.latency.effort import Effort, Visiting
    from nas.latency.measuring.network_time import NetworkTime
    from nas.latency.tables.table import LatencyTable
    from search_spaces.arch import Arch
    from search_spaces.space import SearchSpace

FILES_ARE_TIMED_HERE = "a file is timed on this machine alone, with device=local"

Finding = tuple[str, str, str, str]
"""What was looked at; `ok`, `no` (not there, not needed) or `bad`; a figure; a note, the cure where it is bad."""


class TargetDevice(ABC):
    """The device that networks are searched for.

    Making one touches nothing: it is named in settings that are read long before, or far from, anything is measured.
    """

    @property
    @abstractmethod
    def key(self) -> Device:
        """What its tables belong to."""

    @abstractmethod
    def check(self) -> None:
        """Raise `ValueError`, in one line with the cure, where the device cannot do now what is asked of its kind."""

    def check_asked(self, measured: bool = True) -> None:
        """Refuse what can be refused before anything heavy is imported and any other machine reached.

        `measured`: whether something is to be measured now. Raises `ValueError` with what there is.
        """
        return

    def check_pin(self) -> None:
        """Raise `ValueError` where a thread that measures for this device cannot be bound to one core here."""
        raise ValueError(
            "pin=true binds measuring to a core of this machine, which this device has no use for; leave it out"
        )

    @abstractmethod
    def about(self) -> Mapping[str, Any]:
        """What the device is, as its tables state it in their `environment`."""

    def findings(self) -> list[Finding]:
        """`check` and `about` for a reader: each thing that was looked at. Raises `ValueError` where nothing can be."""
        self.check()
        return [("device", "ok", str(self.key), str(self.about().get("cpu", "")))]

    @abstractmethod
    def table(
        self,
        space: SearchSpace,
        folder: str | Path,
        *,
        effort: Effort | None = None,
        visiting: Visiting | None = None,
        refresh: bool = False,
    ) -> LatencyTable:
        """The table of `space`: measured, taken from `folder` where it lies there already, or the one the device is.

        `refresh`: measured anew. Raises `ValueError` where that would replace times that are not this device's, and
        where the device cannot measure what is missing.
        """

    def table_path(self, space: SearchSpace, folder: str | Path) -> Path:
        """Where the table of `space` lies."""
        from nas.latency.tables.table import table_path

        return table_path(folder, space, self.key)

    def tables_in(self, folder: Path) -> dict[Path, LatencyTable]:
        """All tables of the device, of whatever space, that lie in `folder`, by their files."""
        from nas.latency.tables.table import LatencyTable

        return {path: LatencyTable.load(path) for path in sorted(folder.glob(f"*-{self.key.key}.json"))}

    def estimate_ms(self, arch: Arch) -> float | None:
        """Milliseconds of `arch` by the table that the device itself is; None where it is none, or has other layers."""
        return None

    @abstractmethod
    def not_measured(self, table: LatencyTable | None) -> str | None:
        """Why networks are not measured, in words; None where they are.

        `table`: the one that they are to be compared with. None: of a network that is looked at by itself.
        """

    @abstractmethod
    def measure(self, archs: Sequence[Arch], table: LatencyTable | None, seed: int = 0) -> list[NetworkTime]:
        """The time of each network, at the conditions of `table` where it is given; visits in an order of `seed`.

        Raises `ValueError` where they are `not_measured`.
        """

    def measure_briefly(self, archs: Sequence[Arch], table: LatencyTable, seed: int = 0) -> list[NetworkTime]:
        """As `measure`, of networks that are compared and not handed over: by fewer visits where the device can."""
        return self.measure(archs, table, seed)

    def files_not_timed(self) -> str | None:
        """Why an exported file is not timed for the device, in words; None where this machine times it."""
        return FILES_ARE_TIMED_HERE

    @property
    def takes_kits(self) -> bool:
        """Whether a kit (`nas.latency.kits`) can be carried to it: it is elsewhere, and kits know its runtime."""
        from nas.latency.runtimes import NAMES

        return self.key.name != LOCAL and self.key.runtime in NAMES

    def of_run(self, table: Path) -> TargetDevice:
        """This device for a run that has its table already: a copy, in the file `table`."""
        return self
