"""Latency tables with their proofs, recorded in `results.json` one by one, so that an experiment can continue."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.tables.table import LatencyTable
from nas.runs.files import read_json, write_json
from search_spaces.space import SearchSpace

Records = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recorder:
    """Builds tables into the folder `tables` and keeps a record of each in the file `results`.

    `refresh` measures again what is in `tables`; a table that was begun is continued.
    """

    tables: Path
    results: Path
    effort: Effort
    refresh: bool = False

    def records(self) -> Records:
        return read_json(self.results, "results") if self.results.exists() else {}

    def build(self, name: str, space: SearchSpace, device: Device) -> LatencyTable:
        """The table of `space` on `device`, recorded as `name` and said."""
        started, before = time.perf_counter(), os.getloadavg()[0]
        table = build_table(space, device, self.tables, effort=self.effort, refresh=self.refresh)
        found = record(table, time.perf_counter() - started, max(before, os.getloadavg()[0]))
        records = {**self.records(), name: found}  # read anew: another process may have added to it
        write_json(self.results, dict(sorted(records.items())))
        print(name, table.proof.sentence() if table.proof else "", flush=True)
        return table


def record(table: LatencyTable, seconds: float, load: float) -> dict[str, Any]:
    """What reports need of `table`, which took `seconds` at the load average `load`: the larger of those of the minute
    before and the last one, in which measuring itself is 1."""
    assert table.proof is not None
    times = [network["measured_ms"] for network in table.networks]
    return {
        "device": table.device.to_dict(),
        "environment": table.environment,
        "rows": len(table.rows_),
        "calibration": table.calibration,
        "offset_ms": table.offset_ms,
        "proof": table.proof.to_dict(),
        "margin": table.margin,
        "faults": table.proof.faults,
        "fell_back": table.fell_back.to_dict() if table.fell_back else None,
        "seconds": seconds,
        "load_average": load,
        "measured_ms": [min(times), max(times)],
        "networks": [
            {name: network[name] for name in ("arch", "measured_ms", "estimate_ms")}
            for network in table.networks
            if network["role"] == "held_out"
        ],
    }
