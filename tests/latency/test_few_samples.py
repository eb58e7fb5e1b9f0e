"""Ten stop-watch times and the tables of other devices make a table that says how far off it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from nas.latency.__main__ import main
from nas.latency.device import Device
from nas.latency.imports.cells import check_networks
from nas.latency.imports.networks import learned_table
from nas.latency.learning.few import few_sample_table
from nas.latency.learning.learn import Additive
from nas.latency.learning.times_file import read_times, write_samples
from nas.latency.tables.table import LatencyTable
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual
from search_spaces.families.fbnet import fbnet
from search_spaces.pricing.additive import Floats
from search_spaces.space import LayerwiseSpace, Population
from tests.latency.foreign_tables import read

HELP = Path("tests/fixtures/help-fbnet/fbnet_latency.npz").resolve()
SPACE = ["space=fbnet", "space.resolution=32", "space.num_classes=100", "space.head_channels=1504"]
NAMED = ["device.name=raspi4", "device.runtime=tflite"]


@pytest.fixture(scope="module")
def space() -> LayerwiseSpace:
    return fbnet(32, num_classes=100, head_channels=1504)


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    with np.load(HELP) as data:
        return {
            name.removeprefix("lat_"): data[name][:1200]
            for name in ("archs", "lat_raspi4", "lat_pixel3", "lat_titan_rtx_1")
        }


def table_of(space: LayerwiseSpace, measured: dict[str, np.ndarray], device: str) -> LatencyTable:
    return learned_table(space, measured["archs"].astype(np.int64)[:600], measured[device][:600], Device(name=device))


def errors(table: LatencyTable, space: LayerwiseSpace, genes: Population, times: Floats) -> float:
    return float(np.abs(Additive(*table.rows(space)).predict(genes) / times - 1).mean())


def test_what_it_says_of_itself_holds_on_others(space: LayerwiseSpace, measured: dict[str, np.ndarray]) -> None:
    """Forty networks, ten at a time: the promised error is that on networks never seen, on average within a third."""
    genes, times = measured["archs"].astype(np.int64), measured["raspi4"]
    sources = [table_of(space, measured, name) for name in ("pixel3", "titan_rtx_1")]
    promised, found, alone = [], [], []
    for first in range(700, 740, 10):
        ten = slice(first, first + 10)
        made = few_sample_table(space, genes[ten], times[ten], sources, Device(name="raspi4"))
        assert made.proof is not None and made.calibration["sources"] == [s.device.key for s in sources]
        promised.append(made.proof.calibrated.mape_percent / 100)
        found.append(errors(made, space, genes[800:], times[800:]))
        without = few_sample_table(space, genes[ten], times[ten], [], Device(name="raspi4"))
        alone.append(errors(without, space, genes[800:], times[800:]))
        assert without.calibration["model"].startswith("learned from whole networks")
    assert np.mean(promised) == pytest.approx(np.mean(found), rel=0.34)
    assert np.mean(found) < 1.1 * np.mean(alone)  # what work explains, sources need not


def test_a_source_that_is_unlike_is_noticed(space: LayerwiseSpace, measured: dict[str, np.ndarray]) -> None:
    """A table with its rows shuffled teaches nothing: with forty times, none of it is taken."""
    genes, times = measured["archs"].astype(np.int64), measured["raspi4"]
    rng = np.random.default_rng(0)
    shuffled = np.array([rng.permutation(9)[row] for row in genes.T]).T  # at each place another order of the blocks
    unlike = learned_table(space, shuffled[:600], times[:600], Device(name="unlike"))
    made = few_sample_table(space, genes[700:740], times[700:740], [unlike], Device(name="raspi4"))
    without = few_sample_table(space, genes[700:740], times[700:740], [], Device(name="raspi4"))
    assert errors(made, space, genes[800:], times[800:]) < 1.2 * errors(without, space, genes[800:], times[800:])


def test_a_network_that_was_timed_again_proves_nothing(space: LayerwiseSpace, measured: dict[str, np.ndarray]) -> None:
    """Priced by its own other times it would be off by their noise alone."""
    genes, times = measured["archs"].astype(np.int64)[:6], measured["raspi4"][:6]
    noise = np.repeat([0.99, 1.0, 1.02], 6)
    once = few_sample_table(space, genes, times, [], Device(name="raspi4"))
    thrice = few_sample_table(space, np.tile(genes, (3, 1)), noise * np.tile(times, 3), [], Device(name="raspi4"))
    assert thrice.proof == once.proof and thrice.proof is not None and thrice.proof.networks == 6
    assert "the median of its own among 18" in thrice.calibration["notes"][-1]
    with pytest.raises(ValueError, match="1 networks have a time; at least 5 are needed"):
        few_sample_table(space, genes[[0] * 6], times, [], Device(name="raspi4"))


def test_from_the_command_line(
    space: LayerwiseSpace,
    measured: dict[str, np.ndarray],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    table_of(space, measured, "pixel3").save(Path("pixel3.json"))
    main([*SPACE, "action=sample", "samples=8", "file=mine.csv"])
    assert "action=learn file=mine.csv" in " ".join(capsys.readouterr().out.split())
    rows = list(csv.DictReader(Path("mine.csv").read_text().splitlines()))
    truth = Additive(*table_of(space, measured, "raspi4").rows(space))
    for i, row in enumerate(rows, 1):
        arch = Arch.from_json(Path(f"mine/{i}.json").read_text())
        genes = np.array([space.encode(arch)])
        assert [row[variable.name] for variable in space.variables] == [
            variable.choices[gene] for variable, gene in zip(space.variables, genes[0], strict=True)
        ]
        row["ms"] = f"{1000 * truth.predict(genes)[0]:.1f}"
    with Path("mine.csv").open("w") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    main([*SPACE, *NAMED, "action=learn", "file=mine.csv", "unit=us", "sources=[pixel3.json]"])
    said = " ".join(capsys.readouterr().out.split())
    assert "each network was priced by what the other 7 taught" in said and "8 held-out networks" in said
    (path,) = Path("latency_tables").glob("*.json")
    learned = LatencyTable.load(path, space, Device(name="raspi4", runtime="tflite"))
    assert learned.proof is not None and learned.margin == learned.proof.margin
    before = path.read_bytes()
    with pytest.raises(SystemExit):  # of another day: not replaced unless that is asked for
        Path("mine.csv").write_text(Path("mine.csv").read_text().replace(".0\n", ".5\n").replace(".1\n", ".6\n"))
        main([*SPACE, *NAMED, "action=learn", "file=mine.csv", "unit=us"])
    assert path.read_bytes() == before and "refresh=true" in capsys.readouterr().err
    main([*SPACE, *NAMED, "action=learn", "file=mine.csv", "unit=us", "refresh=true"])
    assert path.read_bytes() != before


def test_mistakes(
    space: LayerwiseSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_samples(space, Path("mine.csv"), 6, 0)
    text = Path("mine.csv").read_text()
    first = text.splitlines()[1]
    for change, message in (
        (text, "0 networks have a time; at least 5"),
        (text.replace(first, first + "fast"), "line 2: ms is 'fast', which is not a number"),
        (text.replace(first, first + "-3"), "line 2: ms is -3; a time is greater than 0"),
        (text.replace(first, first.replace(",", ",k9_e9,", 1) + "1"), "cells, the header"),
        (text.replace("ms\n", "seconds\n"), "expected the columns"),
        (text.replace(",\n", ",1e-6\n"), "multiply-adds a second; give the right unit=..."),
        (text.replace(first, "1,k9_e9" + first[first.index(",", 2) :] + "1"), "is 'k9_e9'; fbnet has k3_e1"),
    ):
        Path("mine.csv").write_text(change)
        with pytest.raises(SystemExit) as status:
            main([*SPACE, *NAMED, "action=learn", "file=mine.csv"])
        assert status.value.code == 2 and message in " ".join(capsys.readouterr().err.split())
    for words, message in (
        ([*SPACE, "action=learn", "file=mine.csv"], "name its device"),
        ([*SPACE, *NAMED, "action=learn"], "action=learn needs file=..."),
        ([*SPACE, *NAMED, "action=learn", "file=none.csv"], "no file at none.csv"),
        ([*SPACE, "action=sample", "file=mine.csv"], "mine.csv is there already"),
        ([*SPACE, "action=sample", "file=other"], "file=other needs an ending, such as other.csv"),
    ):
        with pytest.raises(SystemExit) as status:
            main(words)
        assert status.value.code == 2 and message in " ".join(capsys.readouterr().err.split())
    assert not Path("latency_tables").exists() and not Path("other").exists()
    Path("mine.csv").write_text(text.replace(",\n", ",2,5\n").replace(",", ";").replace(";2;5\n", ";2,5\n"))
    genes, times = read_times(space, Path("mine.csv"), 1.0)
    assert len(genes) == 6 and set(times.tolist()) == {2.5}
    both = "\n".join(f"{line}{i % 2 + 2.5}" for i, line in enumerate(text.splitlines()[1:])).replace(".5", ".5,old")
    Path("mine.csv").write_text(text.splitlines()[0] + ",device\n" + both.replace("3.5,old", "3.5,new"))
    for source, wrong in ((None, "several devices, which are never mixed"), ("phone", "no times of source=phone")):
        with pytest.raises(ValueError, match=rf'the file holds {wrong}; give source=... of \["new", "old"\]'):
            read_times(space, Path("mine.csv"), 1.0, source)
    assert read_times(space, Path("mine.csv"), 1.0, "new")[1].tolist() == [3.5] * 3
    Path("mine.csv").write_text(text.splitlines()[0] + ",device\n" + both)  # of one device alone
    assert read_times(space, Path("mine.csv"), 1.0)[1].tolist() == [2.5, 3.5] * 3
    tabs = text.replace(first, first + "2.5").replace(",", "\t")  # a row without a time ends in a tab
    Path("mine.csv").write_text(tabs)
    assert read_times(space, Path("mine.csv"), 1.0)[1].tolist() == [2.5]
    Path("mine.csv").write_text(tabs.replace("2.5\n", "2.5\t \t\n"))
    assert read_times(space, Path("mine.csv"), 1.0)[1].tolist() == [2.5]


def test_slow_and_fast_devices_are_no_mistakes_of_a_unit() -> None:
    """A network of 7.2 million multiply-adds on a microcontroller without libraries; ResNet-50 in eight bits by 128."""
    check_networks([7.2e6], [4084], 1)
    check_networks([4.1e9], [3.2], 128)
    for macs, ms, images in ((7.2e6, 4084e3, 1), (4.1e9, 3.2e-3, 128), (3e8, 0.005, 1)):
        with pytest.raises(ValueError, match="multiply-adds a second; give the right unit"):
            check_networks([macs], [ms], images)


def test_times_go_to_their_networks_where_candidates_read_alike(tmp_path: Path) -> None:
    """Two candidates that differ in their activation alone have one label; the first of them got the times of both."""
    blocks = [*(InvertedResidual(8, 3, act=act) for act in ("relu", "hard_swish")), InvertedResidual(8, 5)]
    slots = [[[ConvBNAct(8, 3)]], [blocks, blocks], [[ConvBNAct(16)], [Classifier(2)]]]
    alike, file = LayerwiseSpace("alike", 8, slots, 1), tmp_path / "mine.csv"
    folder = write_samples(alike, file, 8, 0)
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *(f"{row}{i}" for i, row in enumerate(rows, 1))]))
    genes, times = read_times(alike, file, 1.0)
    for row, time in zip(genes, times, strict=True):
        assert alike.decode(row).to_json() == (folder / f"{time:.0f}.json").read_text()
    file.write_text(f"{header}\n1,k3_e6,k5_e6,2\n")
    with pytest.raises(ValueError, match=r"line 2: stage1.0 is 'k3_e6'; alike has k3_e6#0, k3_e6#1, k5_e6 there"):
        read_times(alike, file, 1.0)
    lines = ["position,candidate,ms"]
    lines += [f"{place},{label},0.0{i}" for place in (1, 2) for i, label in enumerate(alike.variables[0].labels, 1)]
    (tmp_path / "blocks.csv").write_text("\n".join(lines))
    table = read("csv", tmp_path / "blocks.csv", space=alike)
    assert [table.estimate_ms(alike.decode(row)) for row in ((0, 0), (1, 0), (1, 1))] == pytest.approx(
        [0.02, 0.03, 0.04]
    )
