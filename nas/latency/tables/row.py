"""One row of a latency table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from nas.latency.measuring.visits import MOST_MS
from nas.latency.tables import fields
from search_spaces.blocks import Layer, layer_from_dict
from search_spaces.costs import Shape

GRAIN = 2.0**-38  # calibrated times are multiples of this many ms, so that sums are exact in any order
MOST_MJ = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One row: isolated median, half interquartile range, number of timed calls, and the calibrated time, in ms.

    `energy_mj`: what one image takes of energy, millijoules, where whoever measured it said so.
    """

    layer: Layer
    shape: Shape
    ms: float
    spread_ms: float
    count: int
    calibrated_ms: float
    energy_mj: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; an energy that is not known is left out."""
        data = {**dataclasses.asdict(self), "layer": self.layer.to_dict(), "shape": list(self.shape)}
        if self.energy_mj is None:
            del data["energy_mj"]
        return data


def read_row(index: int, data: Any) -> Row:
    """The row that `to_dict` wrote as number `index` of its table. Raises `ValueError` naming it."""
    try:
        shape = Shape(*(fields.whole(n, "an input size", 1, 10**6) for n in data["shape"]))
        layer = layer_from_dict(data["layer"])
        times = [fields.number(data[name], name) for name in ("ms", "spread_ms", "calibrated_ms")]
        if min(times) < 0:
            raise ValueError(f"a time is negative: {min(times)}")
        if max(times) > MOST_MS:
            raise ValueError(f"a time is {max(times):g} ms, at most {MOST_MS:g} can be")
        energy = data.get("energy_mj")
        if energy is not None:
            energy = fields.number(energy, "energy_mj", 0.0, MOST_MJ)
        return Row(layer, shape, times[0], times[1], fields.whole(data["count"], "count"), times[2], energy)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"row {index} of the latency table: {error}") from None


def grain(value: float) -> float:
    """`value` rounded to a multiple of `GRAIN`."""
    return round(value / GRAIN) * GRAIN
