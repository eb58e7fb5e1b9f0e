"""From times to a table: the rows calibrated to whole networks, and proven on others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nas.latency.device import Device
from nas.latency.learning.features import network_features
from nas.latency.measuring.samples import Measurement
from nas.latency.tables.calibrate import Rows, calibrate
from nas.latency.tables.interpolation import Interpolation, TableRow
from nas.latency.tables.proof import Proof
from nas.latency.tables.table import LatencyTable, Row, grain
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import Floats


def assemble(
    space: str,
    device: Device,
    rows: Mapping[tuple[Layer, Shape], Measurement],
    networks: Iterable[tuple[Arch, Measurement, bool]],
    environment: dict[str, Any],
    others: int = 0,
) -> LatencyTable:
    """Calibrate and prove: `rows` are isolated times, `networks` are (arch, time, whether it is for the fit).

    `others`: how many rows the space has beside these, which are interpolated: a network that holds one is made of
    parts of the rows it follows from. Without networks that are not for the fit the table is not proven.
    """
    keys = list(rows)
    nets = list(networks)
    between = Interpolation(keys, np.array([time.median_ms for time in rows.values()])) if others else None
    counts = _counts([arch for arch, _, _ in nets], keys, between)
    measured = np.array([time.median_ms for _, time, _ in nets])
    fit = np.array([is_fit for _, _, is_fit in nets])
    isolated = Rows(
        np.array([rows[key].median_ms for key in keys]),
        [key[0].kind for key in keys],
        np.array([float(np.prod(shape) + np.prod(layer.out_shape(shape))) for layer, shape in keys]),
        np.array([float(layer.cost(shape).params) for layer, shape in keys]),
    )
    calibration = calibrate(isolated, counts[fit], measured[fit])
    row_ms = np.array([grain(ms) for ms in calibration.row_ms])
    offset_ms = grain(calibration.offset_ms)
    table = LatencyTable(
        space,
        device,
        tuple(
            Row(layer, shape, time.median_ms, time.spread_ms, time.count, ms)
            for ((layer, shape), time), ms in zip(rows.items(), row_ms.tolist(), strict=True)
        ),
        offset_ms,
        None,
        {"model": calibration.model, "loo_mape_percent": calibration.loo_mape_percent},
        environment=environment,
        interpolation={"rows": float(others)} if others else None,
    )
    raw, estimates = counts @ isolated.ms, offset_ms + counts @ row_ms
    if between is not None:
        raw = np.array([table.raw_ms(arch) for arch, _, _ in nets])
        estimates = np.array([table.estimate_ms(arch) for arch, _, _ in nets])
        proving = [arch for arch, _, is_fit in nets if not is_fit] or [arch for arch, _, _ in nets]
        table = dataclasses.replace(table, interpolation=_interpolation(table, between, proving, others))
    proof = None
    if not fit.all():
        halves = np.array([time.halves_ms for _, time, _ in nets])[~fit].T
        proof = Proof.of(
            raw[~fit], estimates[~fit], (halves[0], halves[1]), measured[~fit], fit_networks=int(fit.sum())
        )
    records = tuple(_network_record(table, *net, raw[n], estimates[n]) for n, net in enumerate(nets))
    return dataclasses.replace(table, proof=proof, networks=records)


def _counts(archs: Sequence[Arch], rows: Sequence[TableRow], between: Interpolation | None) -> Floats:
    """(networks, rows): how often each network has each row, in parts where a row of it is interpolated."""
    index = {row: i for i, row in enumerate(rows)}
    counts = np.zeros((len(archs), len(rows)))
    for n, arch in enumerate(archs):
        for layer, shape in arch.walk():
            same = layer.table_row(shape)
            if same is None:
                continue
            if (same, shape) in index:
                counts[n, index[same, shape]] += 1
                continue
            found = between.weights(same, shape) if between is not None else None
            if found is None:
                raise ValueError(f"network {arch.id} holds a layer that was not timed: {same} at input {tuple(shape)}")
            np.add.at(counts[n], found[0], found[1])
    return counts


def _interpolation(
    table: LatencyTable, between: Interpolation, networks: Sequence[Arch], others: int
) -> dict[str, float]:
    """What a table says of the rows that were not measured.

    How many there are, the mean error of measured rows where each is left out and interpolated from the others, and
    how much of the time of `networks` is interpolated.
    """
    rows = [row for arch in networks for layer, shape in arch.walk() if (row := table.row(layer, shape)) is not None]
    guessed = sum(row.calibrated_ms for row in rows if row.count == 0)
    return {
        "rows": float(others),
        "left_out_mape_percent": between.left_out_error_percent(),
        "share_percent": 100 * guessed / max(sum(row.calibrated_ms for row in rows), 1e-9),
    }


def _network_record(
    table: LatencyTable, arch: Arch, time: Measurement, fit: bool, raw: float, estimate: float
) -> dict[str, Any]:
    return {
        "arch": arch.id,
        "role": "fit" if fit else "held_out",
        "measured_ms": time.median_ms,
        "spread_ms": time.spread_ms,
        "raw_ms": float(raw),
        "estimate_ms": float(estimate),
        "features": network_features(table, arch),
    }
