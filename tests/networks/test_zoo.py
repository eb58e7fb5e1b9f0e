"""The table of published networks."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from nas.latency.device import Device
from nas.latency.devices import device_of
from nas.latency.tables.table import LatencyTable, Row
from nas.zoo import NAME_WIDTH, folded, main, mebibytes, rows, sorted_rows
from search_spaces import zoo
from search_spaces.memory.counted import Counted


def test_rows_filter_and_sort() -> None:
    assert len(rows()) == len(zoo.FAMILY_OF)
    assert {row["name"] for row in rows("rexnetr*")} == {f"rexnetr_{w}" for w in (100, 130, 150, 200, 300)}
    assert {row["family"] for row in rows("mobilenetv2")} == {"mobilenetv2"}
    (row,) = rows("spnas")
    assert row["macs"] == 333_467_072 and row["top1_percent"] == 74.086 and row["latency_ms"] is None
    by_accuracy = sorted_rows(rows(), "top1_percent", descending=True)
    known = [row["top1_percent"] for row in by_accuracy if row["top1_percent"] is not None]
    assert known == sorted(known, reverse=True)
    assert by_accuracy[-1]["top1_percent"] is None
    with pytest.raises(ValueError, match="unknown column sort='speed'; one of name, family"):
        sorted_rows(rows(), "speed", False)
    with pytest.raises(ValueError, match="no published network matches filter='vgg'"):
        rows("vgg")


def test_memory_and_weights_are_those_of_the_device(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """ResNet8's: 48 KiB of activations and 76.9 KiB of weights in int8, four times the activations in fp32."""
    floats, bytes_ = rows("resnet8")[0], rows("resnet8", counted=Counted("int8"))[0]
    assert (floats["memory_kib"], bytes_["memory_kib"]) == (192.0, 48.0)
    assert round(bytes_["weights_kib"], 1) == 76.9 and 3.5 < floats["weights_kib"] / bytes_["weights_kib"] < 4
    asked = [f"tables={tmp_path}", "filter=resnet8", "format=json"]
    for settings, row in (([], floats), (["device.dtype=int8"], bytes_)):
        main([*asked, *settings])
        assert json.loads(capsys.readouterr().out)[0] == row
    main([f"tables={tmp_path}", "device.dtype=int8", "sort=memory_kib"])
    shown = capsys.readouterr().out
    assert "at most, in int8" in shown and {"mem", "MiB", "0.05"} <= {cell.strip() for cell in re.split("[┃│]", shown)}
    by_memory = [row["memory_kib"] for row in sorted_rows(rows(), "memory_kib", descending=False)]
    assert by_memory == sorted(by_memory)


def test_activations_are_shown_where_there_is_room(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for columns, has in (("120", True), ("80", False)):
        monkeypatch.setenv("COLUMNS", columns)
        main([f"tables={tmp_path}", "filter=resnet8"])
        assert ("acts" in capsys.readouterr().out) == has


def test_memory_takes_four_characters() -> None:
    shown = {48: "0.05", 192: "0.19", 5880: "5.74", 10235: "10.0", 102_350: "100", 1024 * 99.9: "99.9"}
    assert {kib: mebibytes(kib) for kib in shown} == shown


def test_every_figure_belongs_to_a_network_and_names_its_source() -> None:
    for name, figures in zoo.FIGURES.items():
        assert name in zoo.FAMILY_OF
        assert 45 < figures.top1_percent < 86 and figures.source
        assert figures.top5_percent is None or figures.top5_percent > figures.top1_percent


def test_latency_where_a_table_of_the_device_has_it(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    device = Device(name="desk")
    steps = {(layer.table_row(shape) or layer, shape) for layer, shape in zoo.published("fbnetc_100").walk()}
    priced = LatencyTable(
        "fbnet", device, tuple(Row(layer, shape, 0.5, 0.0, 1, 0.5) for layer, shape in steps), 1.0, None
    )
    priced.save(tmp_path / f"fbnet-r224-x-{device.key}.json")
    found = rows("fbnet", list(device_of(device).tables_in(tmp_path).values()))
    known = {row["name"]: row["latency_ms"] for row in found if row["latency_ms"] is not None}
    layers = [x for x, shape in zoo.published("fbnetc_100").walk() if x.table_row(shape) is not None]
    assert known == {"fbnetc_100": 1.0 + 0.5 * len(layers)}
    assert device_of(Device()).tables_in(tmp_path) == {}
    dataclasses.replace(priced, device=Device()).save(tmp_path / f"fbnet-r224-x-{Device().key}.json")
    assert device_of(Device()).tables_in(tmp_path) == {}  # another machine's `local`
    assert "is left out, as it is not of this machine" in capsys.readouterr().out
    main([f"tables={tmp_path}", "device.name=desk", "filter=fbnetc_100"])
    assert "┃ latency ┃" in capsys.readouterr().out
    main([f"tables={tmp_path}", "device.name=desk", "filter=rexnet"])  # a column of dashes would say nothing
    shown = capsys.readouterr().out
    assert "┃ latency ┃" not in shown and "desk-onnxruntime-fp32-b1-t1" in shown


def test_the_table_fits_a_terminal(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    main([f"tables={tmp_path}"])
    shown = capsys.readouterr().out
    assert max(len(line.rstrip()) for line in shown.splitlines() if line.startswith("│")) <= 80
    for name in zoo.FAMILY_OF:
        lines = folded(name).splitlines()
        assert "".join(lines) == name and max(map(len, lines)) <= NAME_WIDTH
        assert all(f"│ {line} " in shown for line in lines)
    sources = {figures.source for figures in zoo.FIGURES.values()}
    assert all(f"] {source}" in shown for source in sources) and f"[{len(sources)}]" in shown


def test_networks_stand_below_their_family(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    main([f"tables={tmp_path}", "filter=efficientnet*"])
    shown = capsys.readouterr().out
    lines = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")]
    for family in ("efficientnet", "efficientnet_edge", "efficientnetv2"):
        at = lines.index(zoo.FAMILIES[family].title)
        names = zoo.FAMILIES[family].names
        assert lines[at + 1 : at + 1 + len(names)] == list(names)
    main([f"tables={tmp_path}", "filter=efficientnet*", "sort=macs"])  # an order of one's own has no families
    assert zoo.FAMILIES["efficientnet_edge"].title not in capsys.readouterr().out


def test_command(capsys: pytest.CaptureFixture[str], tmp_path) -> None:
    main([f"tables={tmp_path}", "filter=rexnet_1*", "sort=macs", "format=json"])
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["rexnet_100", "rexnet_130", "rexnet_150"]
    main([f"tables={tmp_path}", "sort=params", "descending=true"])
    shown = capsys.readouterr().out
    assert shown.index("rexnetr_300") < shown.index("mobilenetv2_035") and "no latency table of local" in shown
    for arguments in (["format=csv"], ["sort=x"], ["filter=vgg"], ["colour=red"]):
        with pytest.raises(SystemExit) as caught:
            main([f"tables={tmp_path}", *arguments])
        assert caught.value.code == 2 and capsys.readouterr().err.count("\n") == 1
