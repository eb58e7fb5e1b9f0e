"""Regression takes over where times do not add up, and only there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nas.latency.assemble import assemble
from nas.latency.device import Device
from nas.latency.learning.predictor import fit_predictor
from nas.latency.learning.sample import spread_networks
from nas.latency.measuring.measure import Measurement
from nas.latency.tables.table import LatencyTable, entries
from search_spaces.families.fbnet import fbnet

SPACE = fbnet(32, num_classes=10)


def measurement(ms: float) -> Measurement:
    return Measurement(ms, 0.01 * ms, 10, (ms, ms))


def table(cache_misses: bool) -> LatencyTable:
    """Blocks cost their work; where `cache_misses`, networks whose weights outgrow a cache get up to twice as slow."""
    rows = {(layer, shape): 0.01 + layer.cost(shape).macs * 1e-7 for layer, shape in entries(SPACE)}
    rng = np.random.default_rng(0)
    nets = []
    for stream in ("fit", "held_out"):
        for _, arch in spread_networks(SPACE, 64, 0, stream):
            ms = sum(rows[same, s] for layer, s in arch.walk() if (same := layer.table_row(s)))
            if cache_misses:
                ms *= 1 + 1 / (1 + np.exp(-(arch.params - 2.5e6) / 2e5))
            nets.append((arch, measurement(ms * rng.normal(1, 0.005)), stream == "fit"))
    return assemble("fbnet", Device(), {key: measurement(ms) for key, ms in rows.items()}, nets, {})


def test_regression_wins_where_times_do_not_add_up() -> None:
    base = table(cache_misses=True)
    assert base.proof is not None
    assert base.proof.calibrated.mape_percent > 3
    predictor = fit_predictor(base)
    assert predictor.model != "table"
    assert predictor.model in predictor.sentence()
    assert predictor.proof.calibrated.mape_percent < 0.6 * base.proof.calibrated.mape_percent
    arch = spread_networks(SPACE, 3, 7, "other")[0][1]
    ms = base.raw_ms(arch) * (1 + 1 / (1 + np.exp(-(arch.params - 2.5e6) / 2e5)))
    assert predictor.estimate_ms(arch) == pytest.approx(ms, rel=0.1)
    assert predictor.device == base.device
    with pytest.raises(ValueError, match="no sum over layers"):
        predictor.rows(SPACE)
    again = fit_predictor(LatencyTable.from_dict(base.to_dict()))
    assert again.estimate_ms(arch) == predictor.estimate_ms(arch)


def test_table_stays_where_times_add_up() -> None:
    base = table(cache_misses=False)
    predictor = fit_predictor(base)
    assert predictor.model == "table"
    arch = SPACE.decode([3] * 22)
    assert predictor.estimate_ms(arch) == base.estimate_ms(arch)
    assert predictor.rows(SPACE)[0] == base.rows(SPACE)[0]
    assert predictor.margin == base.margin


def test_too_few_networks_are_refused() -> None:
    base = table(cache_misses=False)
    few = dataclasses.replace(base, networks=base.networks[:5])
    with pytest.raises(ValueError, match="needs 16 whole networks"):
        fit_predictor(few)
