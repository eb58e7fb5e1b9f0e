"""The table itself: exact additivity, its file, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nas.latency.assemble import assemble
from nas.latency.device import Device
from nas.latency.learning.sample import spread_networks
from nas.latency.measuring.journal import seal
from nas.latency.measuring.measure import Measurement
from nas.latency.tables.table import LatencyTable, entries, table_path
from search_spaces.blocks import InvertedResidual, Skip
from search_spaces.costs import Shape
from search_spaces.families.fbnet import fbnet
from search_spaces.pricing.additive import price
from search_spaces.space import LayerwiseSpace


def measurement(ms: float) -> Measurement:
    return Measurement(ms, 0.01 * ms, 10, (ms * 0.995, ms * 1.005))


def made_table(space: LayerwiseSpace, seed: int = 0) -> LatencyTable:
    """A table of `space` on an imaginary device where whole networks take 0.9 x the sum of their blocks plus 0.1 ms."""
    rng = np.random.default_rng(seed)
    rows = {row: rng.uniform(0.01, 1.0) for row in entries(space)}

    def whole(arch) -> float:
        return 0.1 + 0.9 * sum(rows[same, s] for layer, s in arch.walk() if (same := layer.table_row(s)))

    nets = [
        (arch, measurement(whole(arch) * rng.uniform(0.99, 1.01)), stream == "fit")
        for stream in ("fit", "held_out")
        for _, arch in spread_networks(space, 20, seed, stream)
    ]
    return assemble("fbnet", Device(), {row: measurement(ms) for row, ms in rows.items()}, nets, {"cpu": "imaginary"})


@pytest.fixture(scope="module")
def space() -> LayerwiseSpace:
    return fbnet(32, num_classes=10)


@pytest.fixture(scope="module")
def table(space: LayerwiseSpace) -> LatencyTable:
    return made_table(space)


def test_rows_add_up_to_the_estimate_exactly(space: LayerwiseSpace, table: LatencyTable) -> None:
    population = space.sample(200, np.random.default_rng(1))
    fixed, rows = table.rows(space)
    priced = price(population, fixed, rows)
    assert priced.tolist() == [table.estimate_ms(space.decode(g)) for g in population.tolist()]


def test_proof_travels(space: LayerwiseSpace, table: LatencyTable, tmp_path: Path) -> None:
    assert table.proof is not None
    assert table.proof.networks == 20
    assert table.proof.calibrated.mape_percent < 1.5 < table.proof.raw.mape_percent
    assert 0 < table.margin < 0.03
    path = table.save(tmp_path / "table.json")
    assert LatencyTable.load(path, space, Device()) == table
    assert {record["role"] for record in table.networks} == {"fit", "held_out"}


def test_rows_that_execute_alike_are_one(space: LayerwiseSpace) -> None:
    shape = Shape(24, 16, 16)
    assert Skip(24).table_row(shape) is None
    assert Skip(32).table_row(shape) is not None
    assert InvertedResidual(32).table_row(shape) == InvertedResidual(32, residual=False).table_row(shape)
    assert InvertedResidual(24).table_row(shape) != InvertedResidual(24, residual=False).table_row(shape)
    wide = InvertedResidual(24, expand_at_1=False)
    assert wide.table_row(shape) == InvertedResidual(24).table_row(shape)
    narrow = InvertedResidual(24, expand_ratio=1.0, expand_at_1=False)
    assert narrow.table_row(shape) != InvertedResidual(24, expand_ratio=1.0).table_row(shape)
    found = entries(space)
    assert len(found) == len(set(found))
    # seven stages change shape once and repeat one shape: 6 x 9 + 1 x 8 changing or first, 5 x 8 repeating, stem, head
    assert len(found) == sum(layer.table_row(shape) is not None for layer, shape in space.table_entries())


def test_networks_span_the_space(space: LayerwiseSpace, table: LatencyTable) -> None:
    fixed, rows = table.rows(space)
    low, high = fixed + sum(r.min() for r in rows), fixed + sum(r.max() for r in rows)
    macs = [arch.macs for _, arch in spread_networks(space, 40, 0, "fit")]
    uniform = [space.decode(g).macs for g in space.sample(40, np.random.default_rng(0)).tolist()]
    assert np.ptp(macs) > 1.5 * np.ptp(uniform)
    assert low < high
    again = spread_networks(space, 40, 0, "fit")
    assert [arch.macs for _, arch in again] == macs
    assert {g for g, _ in again}.isdisjoint(g for g, _ in spread_networks(space, 40, 0, "held_out"))


def changed(path: Path, change) -> Path:
    """`path` written by somebody who also knows how to seal it."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps({**data, "digest": seal(data, "digest")}))
    return path


def test_changed_bytes_are_noticed(table: LatencyTable, tmp_path: Path) -> None:
    path = table.save(tmp_path / "table.json")
    text = path.read_text()
    assert f'"ms": {table.rows_[0].ms}' in text
    path.write_text(text.replace(f'"ms": {table.rows_[0].ms}', '"ms": 0.5', 1))
    with pytest.raises(ValueError, match=r"table.json: the latency table is damaged: its digest"):
        LatencyTable.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=99), "version 99 cannot be read, this release reads 1"),
        (lambda d: d.update(unit="us"), "a latency table is in 'ms', this one in 'us'"),
        (lambda d: d.update(format="other"), "not a latency table"),
        (lambda d: d.pop("rows"), "incomplete"),
        (lambda d: d["rows"][3].update(ms=-1.0), "row 3 of the latency table: a time is negative"),
        (lambda d: d["rows"][3].update(ms="fast"), "row 3 of the latency table: ms must be a finite number"),
        (
            lambda d: d["rows"][2]["layer"].update(kind="magic"),
            "row 2 of the latency table: unknown layer kind 'magic'",
        ),
        (lambda d: d["rows"].append(d["rows"][0]), "lists a row twice"),
        (lambda d: d["rows"].pop(5), "another space: it lacks 1 rows of fbnet"),
        (lambda d: d["device"].update(batch_size=8), "for device local-onnxruntime-fp32-b8-t1, not for"),
        (lambda d: d["device"].update(batch_size=0), "batch_size must be a whole number"),
        (lambda d: d["proof"].pop("raw"), "not a proof"),
        (lambda d: d["rows"][3].update(ms=1e9), "row 3 of the latency table: a time is 1e"),
        (lambda d: d["rows"][3].update(count=None), "row 3 of the latency table: count must be a whole number"),
        (lambda d: d["rows"][3].update(count=float("inf")), "Infinity is not a number of JSON"),
        (lambda d: d["rows"][3].update(shape="16"), "row 3 of the latency table: an input size must be"),
        (lambda d: d.update(rows="many"), "rows must be a list"),
        (lambda d: d.update(space="../../../etc/x"), "space must be at most 100 letters"),
        (lambda d: d["device"].update(runtime="../../x"), "device runtime must be letters"),
        (lambda d: d["device"].update(dtype=""), "device dtype must be letters"),
        (lambda d: d.update(environment=["cpu"]), "environment must be an object"),
        (lambda d: d["environment"].update(cpu={"a": 1}), "environment.cpu must be a plain value"),
        (lambda d: d["environment"].update(imported="x"), "environment.imported must be an object"),
        (lambda d: d["environment"].update(reference_ms="fast"), "environment.reference_ms must be a finite number"),
        (lambda d: d["proof"].update(networks=None), "proof.networks must be a whole number"),
        (lambda d: d["proof"]["calibrated"].update(kendall_tau=2.0), "proof.kendall_tau must be from -1 to 1"),
        (lambda d: d["proof"]["ceiling"].update(mape_percent="low"), "proof.mape_percent must be a finite number"),
        (lambda d: d.update(networks=7), "networks must be a list"),
        (lambda d: d["networks"].append(None), "network 40 of the latency table: a network must be an object"),
        (lambda d: d["networks"][2].update(measured_ms=None), "network 2 of the latency table: measured_ms must be"),
        (lambda d: d["networks"][2]["features"].update(log_raw="x"), "network 2 of the latency table: log_raw must be"),
        (lambda d: d["networks"][2].update(role=[]), "network 2 of the latency table: role must be fit or held_out"),
        (lambda d: d["calibration"].update(notes=3), "calibration.notes must be a list"),
        (lambda d: d["calibration"].update(offset_ms=None), "offset_ms must be a finite number"),
        (lambda d: d["calibration"].update(loo_mape_percent="x"), "loo_mape_percent must be a finite number"),
    ],
)
def test_other_files_are_refused(space: LayerwiseSpace, table: LatencyTable, tmp_path: Path, change, message) -> None:
    path = changed(table.save(tmp_path / "table.json"), change)
    with pytest.raises(ValueError, match=message) as caught:
        LatencyTable.load(path, space, Device())
    assert "table.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_truncated_files_are_refused(table: LatencyTable, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no latency table at"):
        LatencyTable.load(tmp_path / "none.json")
    path = table.save(tmp_path / "table.json")
    path.write_text(path.read_text()[:5000])
    with pytest.raises(ValueError, match="truncated"):
        LatencyTable.load(path)


def test_other_spaces_are_refused(table: LatencyTable) -> None:
    with pytest.raises(ValueError, match="another space"):
        table.check(fbnet(32, num_classes=10, width=0.5))
    with pytest.raises(ValueError, match="no row for"):
        table.estimate_ms(fbnet(64, num_classes=10).decode([0] * 22))


def test_path_tells_spaces_and_devices_apart(space: LayerwiseSpace) -> None:
    paths = {
        table_path("t", s, d)
        for s in (space, fbnet(32, num_classes=10, width=0.5), fbnet(64))
        for d in (Device(), Device(runtime="torch"), Device(threads=2), Device(batch_size=8))
    }
    assert len(paths) == 12
    assert table_path("t", space, Device()).name.startswith("fbnet-r32-")
    assert dataclasses.replace(Device(), processor="cuda").key != Device().key
