"""What every kind of device keeps: one key, tables that stay as they are, networks measured or said not to be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from nas.latency import devices
from nas.latency.device import Device
from nas.latency.devices import TargetDevice, device_of
from nas.latency.devices.local import LocalDevice
from nas.latency.tables.table import LatencyTable
from nas.terminal.configuration.cards import find_target
from nas.terminal.configuration.composition import CONF

from .kinds import KINDS, device_of_kind, tiny


@pytest.fixture(params=KINDS)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> TargetDevice:
    return device_of_kind(request.param, tmp_path)


def test_a_table_is_the_devices_and_stays_as_it_is(device: TargetDevice, tmp_path: Path) -> None:
    space = tiny()
    path = device.table_path(space, tmp_path)
    before = path.read_bytes()
    table = device.table(space, tmp_path)
    assert isinstance(device.key, Device) and table.device == device.key
    assert device.table(space, tmp_path) == table == LatencyTable.load(path, space, device.key)
    assert device.tables_in(tmp_path) == {path: table}
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_networks_are_measured_or_it_is_said_why_not(device: TargetDevice, tmp_path: Path) -> None:
    space = tiny()
    table = device.table(space, tmp_path)
    why = device.not_measured(table)
    if why is not None:
        assert "\n" not in why and str(device.key) in why
        assert not isinstance(device, LocalDevice) or device.name != "local"
        return
    (time,) = device.measure([space.decode([1])], table)
    assert time.latency_ms > 0 and time.now_ms > 0 and time.spread_ms >= 0


def test_a_run_keeps_its_table_whatever_becomes_of_the_devices(device: TargetDevice, tmp_path: Path) -> None:
    space = tiny()
    table, path = device.table(space, tmp_path), device.table_path(space, tmp_path)
    kept = table.save(tmp_path / "run" / "table.json")
    path.unlink()
    own = device.of_run(kept)
    assert own.key == table.device and LatencyTable.load(kept, space, own.key) == table
    assert (own.not_measured(table) is None) == (isinstance(device, LocalDevice) and device.name == "local")


def test_files_are_timed_here_alone(device: TargetDevice) -> None:
    why = device.files_not_timed()
    assert (why is None) == (device.key == Device()) and "\n" not in (why or "")


def test_kits_go_to_other_devices_under_their_runtime(device: TargetDevice) -> None:
    assert not device.takes_kits
    assert LocalDevice("board").takes_kits and not LocalDevice("board", runtime="torch").takes_kits


def test_a_key_is_this_machine() -> None:
    """Programs and cards that were written for the key of a table go on."""
    key = Device("desk", threads=2, dtype="int8")
    device = device_of(key)
    assert device.key == key and device_of(device) is device
    assert devices.given({"_target_": "nas.latency.device.Device", "threads": 2}).key == Device(threads=2)
    assert devices.given(key) == device != devices.given(Device("desk"))
    names = {field.name for field in dataclasses.fields(LocalDevice)}
    assert names == {field.name for field in dataclasses.fields(Device)}


@pytest.mark.parametrize("card", sorted(path.stem for path in (CONF / "device").glob("*.yaml")))
def test_every_card_makes_a_device(card: str) -> None:
    values = yaml.safe_load((CONF / "device" / f"{card}.yaml").read_text())
    assert issubclass(find_target(values["_target_"]), TargetDevice)  # type: ignore[arg-type]
    filled = {key: "phone" if value == "???" or key == "host" else value for key, value in values.items()}
    assert isinstance(devices.given(filled), TargetDevice)  # and touches nothing
