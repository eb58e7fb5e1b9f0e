"""All that the building of one latency table is told, in one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.data.space import build_space
from nas.latency import devices
from nas.latency.devices import TargetDevice
from nas.latency.effort import Effort, Visiting
from nas.latency.tables.table import LatencyTable
from nas.terminal.configuration import cards
from search_spaces.space import SearchSpace

TYPES: dict[str, Any] = {"tables": str, "seed": int, "refresh": bool, "pin": bool}


@dataclass(frozen=True)
class TableSetup:
    """The table of `space` on `device`, kept in `folder`; see `nas.latency.devices.base.TargetDevice.table`."""

    space: SearchSpace
    device: TargetDevice
    folder: str
    effort: Effort
    visiting: Visiting
    refresh: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TableSetup:
        """The table that a resolved configuration (`conf/latency.yaml`) describes."""
        return cls(
            space=build_space(config["space"]),
            device=devices.given(config["device"]),
            folder=config["tables"],
            effort=cards.given(config["effort"], "effort"),
            visiting=Visiting(config["seed"], config["pin"]),
            refresh=config["refresh"],
        )

    def build(self) -> LatencyTable:
        """Measure, or take what is there."""
        return self.device.table(
            self.space, self.folder, effort=self.effort, visiting=self.visiting, refresh=self.refresh
        )
