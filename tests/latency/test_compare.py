"""Networks on several devices: times, ranks, agreement, files."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nas.latency.__main__ import main
from nas.latency.compare import Comparison, compare, found_networks, load_tables, random_networks
from nas.latency.device import Device
from nas.latency.tables.table import LatencyTable, Row, entries
from search_spaces import zoo
from search_spaces.families.fbnet import fbnet
from tests.latency.foreign_tables import CIFAR, LUT, read


def table(name: str, power: float, resolution: int = 224) -> LatencyTable:
    """A device of FBNet's space at `resolution` whose layers take (multiply-adds)^power / 1e6 ms."""
    rows = [(layer, shape, layer.cost(shape).macs ** power / 1e6) for layer, shape in entries(fbnet(resolution))]
    return LatencyTable("fbnet", Device(name=name), tuple(Row(*row, 0.0, 1, row[2]) for row in rows), 0.0, None)


def test_published_networks_that_every_table_prices() -> None:
    found = compare({"fast": table("fast", 1.0), "flat": table("flat", 0.5)}, {})
    assert found.devices == ("fast", "flat")
    assert {"fbnetc_100", "fbnet_b_paper"} <= set(found.names) < set(zoo.FAMILY_OF)
    for name, (ms, _) in zip(found.names, found.ms, strict=True):
        assert ms == pytest.approx(zoo.published(name).macs / 1e6)


def test_tables_of_two_sizes_have_no_network_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    """A published network at 128 pixels is not that at 224: their times say nothing of the devices."""
    tables = {"large": table("large", 1.0), "small": table("small", 1.0, 128)}
    with pytest.raises(ValueError, match="0 networks are priced by all of the tables; name tables of one space and"):
        compare(tables, random_networks(fbnet(224), 3, 0))
    assert "3 of the 3 networks of yours are left out: a table lacks their rows" in capsys.readouterr().out


def test_a_network_counts_once_and_what_gave_way_not_at_all(tmp_path: Path) -> None:
    first, second, gone = random_networks(CIFAR, 3, 7).values()
    files = {"arch.json": first, "model/arch.json": first, "before-model/arch.json": gone, "d/arch.json": first}
    for name, arch in {**files, "d/arch-2.json": second}.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(arch.to_json())
    (tmp_path / "run" / "d" / "derived.json").write_text("[]")
    assert found_networks(tmp_path / "run") == {"run/arch.json": first, "run/d/arch-2.json": second}


def test_tables_of_other_arithmetic_or_batches_are_called_by_all_of_their_key(tmp_path: Path) -> None:
    made = [table("a", 1.0), table("b", 1.0)]
    files = [str(each.save(tmp_path / f"{each.device.name}.json")) for each in made]
    assert list(load_tables(files)) == ["a", "b"]
    dataclasses.replace(made[1], device=Device("b", dtype="int8", batch_size=4)).save(files[1])
    assert list(load_tables(files)) == ["a-onnxruntime-fp32-b1-t1", "b-onnxruntime-int8-b4-t1"]


def test_ranks_and_agreement_by_hand() -> None:
    found = Comparison(("a", "b", "c"), ("x", "y"), np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 3.0]]))
    assert found.ranks.tolist() == [[1, 2], [2, 1], [2, 3]]
    tau = found.agreement()
    # one pair agrees, one disagrees, one is a tie on x
    np.testing.assert_allclose(tau, np.eye(2), atol=1e-12)


def test_pixel_3_and_raspberry_pi_4_rank_networks_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """HW-NAS-Bench's tables, through the command: its files hold what the tables say."""
    monkeypatch.chdir(tmp_path)
    for name in ("pixel3", "raspi4", "fpga"):
        read("hwnasbench", LUT, source=name).save(f"{name}.json")
    space = ["space.resolution=32", "space.num_classes=100", "space.head_channels=1504"]
    (tmp_path / "run").mkdir()
    archs = random_networks(CIFAR, 2, 7)
    for path, arch in zip(("arch.json", "arch-2.json"), archs.values(), strict=True):
        (tmp_path / "run" / path).write_text(arch.to_json())
    files = "devices=[pixel3.json,raspi4.json,fpga.json]"
    main([*space, "action=compare", files, "run=run", "samples=20", "file=out/all.csv"])
    said = capsys.readouterr().out
    assert "Kendall's tau between devices" in said and "random 20" in said
    with open("out/all.csv", newline="") as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert len(rows) == 22 and "run/arch-2.json" in rows
    pixel = LatencyTable.load("pixel3.json")
    assert float(rows["run/arch.json"]["pixel3 ms"]) == pixel.estimate_ms(archs["random 1"])
    assert Path("out/all.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pixel3", "raspi4"):
        read("hwnasbench", LUT, source=name).save(tmp_path / f"{name}.json")
    files = f"devices=[{tmp_path}/pixel3.json,{tmp_path}/raspi4.json]"
    for settings, words in (
        (["devices=[a.json]"], "needs the tables of two or more devices"),
        ([files], "0 networks are priced by all of the tables"),
        ([files, f"run={tmp_path}"], "holds no found networks"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["action=compare", *settings])
        assert stop.value.code == 2 and words in capsys.readouterr().err
