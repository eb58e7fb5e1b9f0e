"""Learned effects of candidates as the rows of a latency table."""

from __future__ import annotations

import numpy as np

from nas.latency.learning.learn import Additive
from nas.latency.tables.row import Row, grain
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.space import LayerwiseSpace


def as_rows(space: LayerwiseSpace, fit: Additive) -> tuple[float, tuple[Row, ...], list[str]]:
    """`fit` as table rows: identities free, elsewhere the cheapest candidate free; negative rests cut off and noted."""
    offset, notes = fit.fixed_ms, ["stem and head are part of the offset"]
    shared: dict[tuple[Layer, Shape], list[float]] = {}
    for position, effects in zip(space.positions, fit.rows_ms, strict=True):
        same = [layer.table_row(position.shape) for layer in position.candidates]
        base = float(effects[same.index(None)] if None in same else effects.min())
        offset += base
        for layer, effect in zip(same, effects, strict=True):
            if layer is not None:
                shared.setdefault((layer, position.shape), []).append(float(effect) - base)
    rows = []
    for (layer, shape), values in shared.items():
        ms = float(np.mean(values))
        if ms < -1e-9:
            notes.append(f"{layer.label} at input {tuple(shape)} came out at {ms:.3g} ms and is set to 0")
        rows.append(Row(layer, shape, max(ms, 0.0), float(np.ptp(values) / 2), 0, grain(max(ms, 0.0))))
    known = set(shared)
    for layer, shape in space.fixed():
        fixed = layer.table_row(shape)
        if fixed is not None and (fixed, shape) not in known:
            rows.append(Row(fixed, shape, 0.0, 0.0, 0, 0.0))
    return offset, tuple(rows), notes
