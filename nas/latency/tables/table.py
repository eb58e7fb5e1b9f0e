"""`LatencyTable`: (layer, input shape) -> milliseconds for one device, with its spread, origin and proof."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.latency.device import Device
from nas.latency.measuring.journal import seal
from nas.latency.measuring.visits import MOST_MS
from nas.latency.placement import Placement
from nas.latency.tables import fields
from nas.latency.tables.interpolation import Interpolation, anchors
from nas.latency.tables.origin import elsewhere
from nas.latency.tables.proof import Proof
from nas.latency.tables.row import Row, grain, read_row
from nas.runs.files import read_json, write_json
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.resolution import canonical
from search_spaces.space import LayerwiseSpace, SearchSpace

FORMAT = "nas.latency_table"
VERSION = 1
UNIT = "ms"
NO_ENERGY = (
    "says nothing of energy, which nothing here measures: import one whose rows have a column energy_mj "
    "(format=layers), or leave out budget.energy_mj"
)
__all__ = ["LatencyTable", "Row", "all_entries", "entries", "entries_hash", "grain", "row_key", "table_path"]


def entries(space: SearchSpace) -> list[tuple[Layer, Shape]]:
    """The distinct rows that a table of `space` measures, identities left out: all, or what others follow from."""
    return anchors(all_entries(space)) if space.interpolated else all_entries(space)


def all_entries(space: SearchSpace) -> list[tuple[Layer, Shape]]:
    """The distinct rows that the archs of `space` have, identities left out."""
    found: dict[tuple[Layer, Shape], None] = {}
    for layer, shape in space.table_entries():
        if (same := layer.table_row(shape)) is not None:
            found.setdefault((same, shape))
    return list(found)


def row_key(layer: Layer, shape: Shape) -> str:
    """The name of a row in journals and files."""
    return json.dumps([layer.to_dict(), list(shape)], sort_keys=True, separators=(",", ":"))


def entries_hash(rows: Iterable[tuple[Layer, Shape]]) -> str:
    """Short hash of a set of rows, whatever their order."""
    return hashlib.sha256("\n".join(sorted(row_key(*row) for row in rows)).encode()).hexdigest()[:8]


def file_name(space: str, rows: Iterable[tuple[Layer, Shape]], device: Device) -> str:
    """What a table's file is called: space, resolution, hash of the rows, device key.

    Raises `ValueError` for a space whose name cannot be part of a file name.
    """
    rows = list(rows)
    fields.name(space, "the name of a space")
    _, *largest = max((shape.height * shape.width, shape.height, shape.width) for _, shape in rows)
    resolution = canonical(largest)
    return f"{space}-r{resolution}-{entries_hash(rows)}-{device.key}.json"


def table_path(directory: str | Path, space: SearchSpace, device: Device) -> Path:
    """Where the table of `space` on `device` lies."""
    return Path(directory) / file_name(space.name, entries(space), device)


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of every layer of a space on one device, calibrated to whole networks and proven on others.

    `offset_ms` is the part of a network's time that belongs to no layer; below 0 it is what layers save together.
    `calibration` says how the rows were corrected, `networks` lists every whole network timed (for the scatter plot),
    `environment` where it happened. `interpolation`: what is known of the rows between the measured ones; None where
    all rows are measured. `fell_back`: operators of its whole networks that ran otherwise than asked; None where nobody
    looked.
    """

    space: str
    device: Device
    rows_: tuple[Row, ...]
    offset_ms: float
    proof: Proof | None
    calibration: dict[str, Any] = field(default_factory=dict)
    networks: tuple[dict[str, Any], ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    interpolation: dict[str, float] | None = None
    fell_back: Placement | None = None

    @cached_property
    def _between(self) -> Interpolation:
        return Interpolation([(row.layer, row.shape) for row in self.rows_], np.array([row.ms for row in self.rows_]))

    @cached_property
    def _corrected(self) -> NDArray[np.float64]:
        return np.array([row.calibrated_ms for row in self.rows_])

    @cached_property
    def _prices(self) -> dict[tuple[Layer, Shape], Row]:
        return {(row.layer, row.shape): row for row in self.rows_}

    def row(self, layer: Layer, shape: Shape) -> Row | None:
        """The row of `layer` at `shape`; None for an identity. Raises `ValueError` where the table has no such row.

        A row that was interpolated has been timed 0 times and has no spread.
        """
        same = layer.table_row(shape)
        if same is None:
            return None
        found = self._prices.get((same, shape)) or self._interpolated(same, shape)
        if found is None:
            raise ValueError(
                f"the latency table of {self.space} on {self.device.key} has no row for {layer.label} "
                f"({layer.to_dict()}) at input {tuple(shape)}; build a table for this space"
            )
        return found

    def _interpolated(self, layer: Layer, shape: Shape) -> Row | None:
        times = self._between.times(layer, shape, self._corrected) if self.interpolation is not None else None
        return times and Row(layer, shape, times[0], 0.0, 0, grain(times[1]))

    def price_ms(self, layer: Layer, shape: Shape) -> float:
        """Calibrated milliseconds of `layer` at `shape`; 0 for an identity."""
        row = self.row(layer, shape)
        return row.calibrated_ms if row else 0.0

    def estimate_ms(self, arch: Arch) -> float:
        """Calibrated milliseconds of one batch through `arch`: `offset_ms` plus its layers' rows."""
        return self.offset_ms + sum(self.price_ms(layer, shape) for layer, shape in arch.walk())

    def raw_ms(self, arch: Arch) -> float:
        """The plain sum of isolated block times, uncalibrated."""
        return sum(row.ms for layer, shape in arch.walk() if (row := self.row(layer, shape)))

    def cost(self, space: SearchSpace) -> AdditiveCost:
        """`estimate_ms(space.decode(g))` of every genotype g, compiled to arrays; milliseconds."""
        return space.cost(self.price_ms, self.offset_ms)

    @property
    def has_energy(self) -> bool:
        """Whether the table says what every one of its rows takes of energy."""
        return self.interpolation is None and all(row.energy_mj is not None for row in self.rows_)

    def energy(self, space: SearchSpace) -> AdditiveCost:
        """Millijoules of one image by `space.decode(g)` of every genotype g, the sum of its rows, compiled to arrays.

        Raises `ValueError` where the table has no energy.
        """
        if not self.has_energy:
            raise ValueError(f"the table of {self.device.key} {NO_ENERGY}")
        return space.cost(lambda layer, shape: (row.energy_mj or 0.0) if (row := self.row(layer, shape)) else 0.0)

    def rows(self, space: LayerwiseSpace) -> tuple[float, tuple[NDArray[np.float64], ...]]:
        """`(fixed, rows)` with `estimate_ms(space.decode(g)) == fixed + sum_i rows[i][g[i]]`."""
        cost = self.cost(space)
        return cost.fixed, cost.rows

    @property
    def file_name(self) -> str:
        """The name its file has; that of `table_path` for the table of a space."""
        return file_name(self.space, self._prices, self.device)

    @property
    def margin(self) -> float:
        """Relative safety margin: the 90% quantile of measured / estimate - 1 on held-out networks; 0 if unproven."""
        return self.proof.margin if self.proof else 0.0

    @property
    def keys(self) -> list[tuple[Layer, Shape]]:
        """The layers of its rows at their input shapes."""
        return [(row.layer, row.shape) for row in self.rows_]

    @cached_property
    def elsewhere(self) -> str:
        """In words, how this table was not measured by this machine as it is now; empty where it was."""
        return elsewhere(self.device, self.environment, self.keys)

    @property
    def is_of_this_machine(self) -> bool:
        """Whether a time measured here, now, is a time of the table's device; otherwise it must not stand for one."""
        return not self.elsewhere

    def check(self, space: SearchSpace, device: Device | None = None) -> None:
        """Raise `ValueError` unless this table prices `space` (on `device`)."""
        if device is not None and device != self.device:
            raise ValueError(f"the table is for device {self.device.key}, not for {device.key}")
        missing = [row for row in entries(space) if row not in self._prices]
        if space.interpolated and self.interpolation is None and not missing:
            missing = [row for row in all_entries(space) if row not in self._prices]
        if missing:
            layer, shape = missing[0]
            raise ValueError(
                f"the table is for another space: it lacks {len(missing)} rows of {space.name}, the first is "
                f"{layer.label} at input {tuple(shape)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with a digest of all of it."""
        data = {
            "format": FORMAT,
            "version": VERSION,
            "unit": UNIT,
            "space": self.space,
            "device": self.device.to_dict(),
            "environment": self.environment,
            "proof": self.proof.to_dict() if self.proof else None,
            "calibration": {**self.calibration, "offset_ms": self.offset_ms},
            "rows": [row.to_dict() for row in self.rows_],
            "networks": list(self.networks),
            **({} if self.interpolation is None else {"interpolation": self.interpolation}),
            **({} if self.fell_back is None else {"fell_back": self.fell_back.to_dict()}),
        }
        return {**data, "digest": seal(data, "digest")}

    def save(self, path: str | Path) -> Path:
        """Write the table to `path` atomically."""
        return write_json(path, self.to_dict())

    @staticmethod
    def load(path: str | Path, space: SearchSpace | None = None, device: Device | None = None) -> LatencyTable:
        """The table in `path`, checked against `space` and `device` where given. Raises `ValueError` otherwise."""
        data = read_json(path, "latency table")
        try:
            table = LatencyTable.from_dict(data)
            if space is not None:
                table.check(space, device)
            if device is not None and table.device == device:
                table = dataclasses.replace(table, device=device)  # with the interpreter, which no file names
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return table

    @staticmethod
    def from_dict(data: Any) -> LatencyTable:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f'not a latency table: expected a JSON object with "format": "{FORMAT}"')
        if data.get("version") != VERSION:
            raise ValueError(
                f"latency table version {data.get('version')!r} cannot be read, this release reads {VERSION}; "
                "measure again"
            )
        if data.get("unit") != UNIT:
            raise ValueError(
                f"a latency table is in {UNIT!r}, this one in {data.get('unit')!r}; import it with its unit"
            )
        if "digest" in data and data["digest"] != seal(data, "digest"):
            raise ValueError(
                "the latency table is damaged: its digest is not that of its content; restore it, or measure again"
            )
        try:
            calibration = dict(fields.mapping(data["calibration"], "calibration"))
            offset = fields.number(calibration.pop("offset_ms"), "offset_ms", -MOST_MS, MOST_MS)
            fields.check_calibration(calibration)
            rows = tuple(read_row(i, row) for i, row in enumerate(fields.listing(data["rows"], "rows")))
            proof = Proof.from_dict(data["proof"]) if data["proof"] is not None else None
            networks = fields.listing(data["networks"], "networks")
            table = LatencyTable(
                fields.name(data["space"], "space"),
                Device.from_dict(data["device"]),
                rows,
                offset,
                proof,
                calibration,
                tuple(fields.network(i, network) for i, network in enumerate(networks)),
                fields.environment(data["environment"]),
                fields.interpolation(data.get("interpolation")),
                Placement.from_dict(data["fell_back"]) if data.get("fell_back") is not None else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the latency table is incomplete: {error!r}") from None
        if len(table._prices) != len(rows):
            raise ValueError("the latency table lists a row twice")
        return table
