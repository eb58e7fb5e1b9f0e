"""Rows between the measured ones: which are measured, what the others cost, and tables that hold them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nas.latency.assemble import assemble
from nas.latency.build import build_table, draw_networks
from nas.latency.device import Device
from nas.latency.effort import Effort
from nas.latency.imports import Reading, import_file
from nas.latency.imports.layers import write_layers
from nas.latency.kits.of_space import write_kit
from nas.latency.measuring.measure import Measurement
from nas.latency.show import interpolation_sentence
from nas.latency.tables.interpolation import BLOCK, MOST_ANCHORS, Interpolation, TableRow, anchors, counts_of, form_of
from nas.latency.tables.table import LatencyTable, all_entries, entries, table_path
from nas.runs.files import read_json
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, UniversalBottleneck
from search_spaces.costs import Shape
from search_spaces.families.fbnet import fbnet
from search_spaces.families.mobile.space import mobile
from search_spaces.wrappers.joint import single
from tests.search_spaces.families.test_mobile import mixed, seven_convolutions, small_mobilenetv2

WIDTHS = (8, 16, 24, 32, 40, 48, 64, 80)
SPACE = mobile(
    12,
    10,
    1,
    forms=("conv_k3", "ir_k3_e3"),
    channels={"stem": [8], "C": [8, 16, 24, 32], "D": [8, 16, 24, 32, 48], "F": [16, 24, 32, 48, 64]},
    depths={"A": [0], "B": [1], "C": [1], "D": [1, 2], "E": [0], "F": [1, 2], "G": [0]},
    stem_strides=[2],
    heads=["conv_32"],
)
ROWS = all_entries(SPACE)


def inverted(in_channels: int, out_channels: int, side: int = 8) -> TableRow:
    layer = InvertedResidual(out_channels, 3, 1, 3.0)
    shape = Shape(in_channels, side, side)
    return layer.table_row(shape), shape


def time_of(row: TableRow) -> float:
    """A device on which time is exactly what the model says."""
    counts = np.array(counts_of(*row))
    convolutions = len(counts) // 2 - 1
    filled = counts[2 + 2 * convolutions :]
    return 2e-3 + 5e-9 * float(filled[1::2].sum()) + 3e-8 * float(filled[0] + filled[2::2].sum())


def measured(row: TableRow) -> Measurement:
    ms = time_of(row)
    return Measurement(ms, 0.01 * ms, 10, (ms, ms))


def table(space_rows: list[TableRow], others: int) -> LatencyTable:
    """A table of `SPACE` from the times of `space_rows`; networks take 1.25 times their layers' and 0.1 ms."""
    fit, held_out = draw_networks(SPACE, Effort(fit_networks=16, held_out_networks=8), seed=0)
    networks = []
    for arch in fit + held_out:
        ms = 0.1 + 1.25 * sum(time_of((layer.table_row(shape), shape)) for layer, shape in arch.walk())
        networks.append((arch, Measurement(ms, 0.0, 10, (ms, ms)), arch in fit))
    return assemble("mobile", Device(), {row: measured(row) for row in space_rows}, networks, {}, others)


def test_a_few_rows_of_every_form_are_anchors() -> None:
    rows = [inverted(a, b) for a in WIDTHS for b in WIDTHS]
    chosen = anchors(rows)
    crossing = [row for row in chosen if row[1].channels != row[0].out_channels]
    along = [row for row in chosen if row[1].channels == row[0].out_channels]
    assert (len(along), len(crossing)) == MOST_ANCHORS
    assert {(8, 80), (80, 8)} <= {(shape.channels, layer.out_channels) for layer, shape in crossing}
    assert {8, 80} <= {shape.channels for _, shape in along}
    for free in (0, 1):  # in channels and out channels: widths that fill blocks, and widths that do not
        remainders = {(shape.channels, layer.out_channels)[free] % BLOCK for layer, shape in chosen}
        assert remainders == {0, 8}
    assert anchors(chosen) == chosen == anchors(rows)


def test_a_width_that_fills_no_block_is_an_anchor_beside_one_that_does() -> None:
    """24 channels are nearer to 16 than any other two widths are to each other."""
    chosen = anchors([inverted(width, width) for width in (16, 24, 32, 64, 128, 256, 512)])
    assert len(chosen) == MOST_ANCHORS[0] and 24 in {shape.channels for _, shape in chosen}


def test_counts_by_hand() -> None:
    """8 to 24 channels on 8x8 maps by way of 24: plain, then with 8 and 24 filled up to 16 and 32."""
    layer, shape = inverted(8, 24)
    plain = [8, 24 * 8, 24, 24 * 9, 24, 24 * 24, 24]
    filled = [16, 32 * 16, 32, 32 * 9, 32, 32 * 32, 32]
    assert counts_of(layer, shape) == [1, *(64 * count for count in plain + filled)]


def test_forms_are_blocks_without_their_widths() -> None:
    assert form_of(*inverted(16, 24)).block == form_of(*inverted(48, 80)).block
    assert form_of(*inverted(16, 24)).block != form_of(*inverted(16, 16)).block  # one of them adds its input
    assert form_of(*inverted(16, 24)).place != form_of(*inverted(16, 24, 4)).place
    classifier = form_of(Classifier(10), Shape(64, 4, 4))
    assert classifier.widths == (64,)
    assert classifier.block != form_of(Classifier(11), Shape(64, 4, 4)).block
    start = UniversalBottleneck(24, 3, 5)
    assert (
        form_of(start, Shape(8, 4, 4)).block
        == form_of(dataclasses.replace(start, out_channels=40), Shape(8, 4, 4)).block
    )


def test_times_that_are_sums_of_counts_are_found_again() -> None:
    rows = [inverted(a, b, side) for a in WIDTHS for b in WIDTHS for side in (4, 8)]
    known = anchors(rows)
    between = Interpolation(known, np.array([time_of(row) for row in known]))
    for row in rows:
        found = between.times(*row, 2 * between.ms)
        assert found == pytest.approx((time_of(row), 2 * time_of(row)), rel=1e-4)
    assert between.left_out_error_percent() < 0.01
    assert between.weights(*inverted(16, 24, 16)) is None  # no anchor has this size of map
    assert between.weights(ConvBNAct(8, 3), Shape(8, 8, 8)) is None


def test_a_size_of_map_has_a_constant_of_its_own() -> None:
    rows = [inverted(a, b, side) for a in WIDTHS for b in WIDTHS for side in (4, 8)]

    def ms(row: TableRow) -> float:
        return time_of(row) + (0.02 if row[1].height == 8 else 0.0)

    known = anchors(rows)
    between = Interpolation(known, np.array([ms(row) for row in known]))
    for row in rows:
        isolated, _ = between.times(*row, between.ms) or (0.0, 0.0)
        assert isolated == pytest.approx(ms(row), rel=1e-3)


def test_an_anchor_that_is_left_out_takes_no_part_in_its_estimate() -> None:
    known = anchors([inverted(a, b) for a in WIDTHS for b in WIDTHS])
    ms = np.array([time_of(row) for row in known]) * np.random.default_rng(0).uniform(0.8, 1.25, len(known))
    errors = []
    for i, row in enumerate(known):
        without = Interpolation(known[:i] + known[i + 1 :], np.delete(ms, i))
        isolated, _ = without.times(*row, without.ms) or (0.0, 0.0)
        errors.append(100 * abs(isolated / ms[i] - 1))
    assert Interpolation(known, ms).left_out_error_percent() == pytest.approx(np.mean(errors))


def test_a_correction_never_makes_a_row_free() -> None:
    rows = [inverted(a, b) for a in WIDTHS for b in WIDTHS]
    known = anchors(rows)
    between = Interpolation(known, np.array([time_of(row) for row in known]))
    isolated, corrected = between.times(*inverted(32, 40), 0 * between.ms) or (0.0, 0.0)
    assert 0 < corrected < 0.1 * isolated


def test_tables_price_all_rows_from_some() -> None:
    known = entries(SPACE)
    assert set(known) < set(ROWS)
    built = table(known, len(ROWS) - len(known))
    assert built.interpolation is not None and built.interpolation["rows"] == len(ROWS) - len(known)
    assert 0 < built.interpolation["share_percent"] < 100
    assert "rows are interpolated" in interpolation_sentence(built.interpolation)
    built.check(SPACE)
    population = SPACE.sample(50, np.random.default_rng(0))
    archs = [SPACE.decode(genotype) for genotype in population.tolist()]
    np.testing.assert_array_equal(built.cost(SPACE)(population), [built.estimate_ms(arch) for arch in archs])
    true = [0.1 + 1.25 * sum(time_of((layer.table_row(s), s)) for layer, s in arch.walk()) for arch in archs]
    np.testing.assert_allclose([built.estimate_ms(arch) for arch in archs], true, rtol=0.02)
    assert built.proof is not None and built.proof.calibrated.mape_percent < 1
    layer, shape = next(row for row in ROWS if row not in known)
    row = built.row(layer, shape)
    assert row is not None and row.count == 0 and row.calibrated_ms > 0
    again = LatencyTable.from_dict(built.to_dict())
    assert again == built
    assert again.row(layer, shape) == row


def test_only_tables_that_say_so_interpolate() -> None:
    known = entries(SPACE)
    full = table(ROWS, 0)
    assert full.interpolation is None and "interpolation" not in full.to_dict()
    full.check(SPACE)
    part = dataclasses.replace(table(known, 1), interpolation=None)
    with pytest.raises(ValueError, match=f"lacks {len(ROWS) - len(known)} rows of mobile"):
        part.check(SPACE)
    layer, shape = next(row for row in ROWS if row not in known)
    with pytest.raises(ValueError, match="has no row for"):
        part.row(layer, shape)
    with pytest.raises(ValueError, match="has no row for"):
        table(known, 1).row(ConvBNAct(8, 7), Shape(8, 8, 8))


def test_other_spaces_measure_every_row() -> None:
    for space in (fbnet(16), single(SPACE.decode([0] * len(SPACE.variables)))):
        assert entries(space) == all_entries(space)


def test_a_built_table_interpolates(tmp_path: Path) -> None:
    effort = Effort(fit_networks=6, held_out_networks=4, rounds=2, network_rounds=2, visit_ms=0.2, network_visit_ms=1.0)
    built = build_table(SPACE, Device(), tmp_path, effort=effort)
    assert len(built.rows_) == len(entries(SPACE))
    assert all(row.count > 0 for row in built.rows_)
    assert built.interpolation is not None and built.interpolation["left_out_mape_percent"] > 0
    assert LatencyTable.load(table_path(tmp_path, SPACE, Device()), SPACE, Device()) == built
    assert np.isfinite(built.cost(SPACE).reachable()).all()


def test_kits_and_files_of_rows_hold_the_anchors(tmp_path: Path) -> None:
    effort = Effort(fit_networks=2, held_out_networks=2)
    kit = read_json(write_kit(SPACE, Device(name="phone"), tmp_path / "kit", effort=effort) / "kit.json", "kit")
    assert len(kit["rows"]) == len(entries(SPACE))
    assert kit["interpolated"] == len(ROWS) - len(entries(SPACE))
    file = tmp_path / "rows.csv"
    assert write_layers(SPACE, file) == len(entries(SPACE))
    file.write_text("\n".join(f"{line}0.25" if line.endswith(",") else line for line in file.read_text().splitlines()))
    imported = import_file("layers", str(file), space=SPACE, device=Device(name="phone"), reading=Reading())
    imported.check(SPACE)
    assert np.isfinite(imported.cost(SPACE).reachable()).all()


def test_hand_made_networks_are_priced() -> None:
    """At 32 pixels, from less than a third of the rows."""
    space = mobile(32, 10)
    rows, known = all_entries(space), entries(space)
    assert len(known) < 1500 < 3000 < len(rows)
    arch = space.decode([0] * len(space.variables))
    sum_ms = sum(time_of((layer.table_row(shape), shape)) for layer, shape in arch.walk())
    network = (arch, Measurement(sum_ms, 0.0, 10, (sum_ms, sum_ms)), True)
    built = assemble("mobile", Device(), {row: measured(row) for row in known}, [network], {}, len(rows) - len(known))
    for arch in (seven_convolutions(), mixed(), small_mobilenetv2(0.35, "relu"), small_mobilenetv2(0.5, "relu")):
        true = sum(time_of((layer.table_row(shape), shape)) for layer, shape in arch.walk())
        assert built.estimate_ms(arch) == pytest.approx(true, rel=0.01)
        assert built.cost(space)(np.array([space.encode(arch)])) == built.estimate_ms(arch)
