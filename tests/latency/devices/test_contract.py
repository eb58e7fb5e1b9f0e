"""What every kind of device keeps, a board over a real ssh among them: one key, tables that stay as they are and whose
owners do not change, networks measured or said not to be."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from nas.doctor.around import device as looked_at
from nas.latency import devices
from nas.latency.device import Device
from nas.latency.devices import TargetDevice, device_of
from nas.latency.devices.local import LocalDevice
from nas.latency.effort import Effort
from nas.latency.tables.table import LatencyTable, table_path
from nas.terminal.configuration.cards import find_target
from nas.terminal.configuration.composition import CONF
from search_spaces.families.fbnet import fbnet

from .board import Board
from .kinds import BROUGHT, KINDS, Kind, made_up_table, tiny

LEAST = Effort(fit_networks=2, held_out_networks=2, rounds=2, network_rounds=2, visit_ms=0.1, network_visit_ms=0.1)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture
def a_board(request: pytest.FixtureRequest) -> Callable[[], Board]:
    """The board, where a kind asks for it: without sshd its tests alone are skipped."""
    return lambda: request.getfixturevalue("board")


@pytest.fixture
def device(kind: Kind, tmp_path: Path, a_board: Callable[[], Board]) -> TargetDevice:
    return kind.make(tmp_path, a_board)


def test_every_class_of_device_is_here() -> None:
    """A new kind of device gets an entry in `KINDS`, and with it this suite."""
    cards = {yaml.safe_load(path.read_text())["_target_"] for path in (CONF / "device").glob("*.yaml")}
    called = {find_target(target).__name__ for target in cards}
    assert called == {"LocalDevice", "TableDevice", "SshDevice"} and set(KINDS) == {"local", "named", "table", "ssh"}


def test_a_table_is_the_devices_and_stays_as_it_is(device: TargetDevice, tmp_path: Path) -> None:
    space = tiny()
    path = device.table_path(space, tmp_path)
    before = path.read_bytes()
    table = device.table(space, tmp_path)
    assert isinstance(device.key, Device) and table.device == device.key
    assert device.table(space, tmp_path) == table == LatencyTable.load(path, space, device.key)
    assert device.tables_in(tmp_path) == {path: table}
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_tables_lie_by_their_key(kind: Kind, device: TargetDevice, tmp_path: Path) -> None:
    """One file for each space, and nothing found where none lies; a device that is a table is that file alone."""
    empty, other = tmp_path / "empty", fbnet(8, 10, 1, width=0.25, candidates=("k3_e1", "skip"))
    empty.mkdir()
    if kind.is_a_table:
        assert device.table_path(tiny(), empty) == device.table_path(other, tmp_path)
        assert list(device.tables_in(empty)) == [device.table_path(tiny(), tmp_path)]
        return
    assert device.table_path(tiny(), empty) == table_path(empty, tiny(), device.key)
    assert device.table_path(other, empty) != device.table_path(tiny(), empty)
    assert device.tables_in(empty) == {}


def test_times_of_another_machine_are_never_lost(
    kind: Kind, device: TargetDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked to measure anew, a device replaces its own table alone: another's stays, byte for byte, or is set aside."""
    path = device.table_path(tiny(), tmp_path)
    if not kind.is_a_table:
        made_up_table(tiny(), device, {**device.about(), **BROUGHT}).save(path)
    before = path.read_bytes()
    if kind.is_here:
        monkeypatch.setattr("nas.latency.build._build", lambda space, *_: made_up_table(space, device))
        table = device.table(tiny(), tmp_path, effort=LEAST, refresh=True)
        [aside] = tmp_path.glob("*.kept-*")
        assert aside.read_bytes() == before and table.is_of_this_machine
        return
    with pytest.raises(ValueError) as refused:
        device.table(tiny(), tmp_path, effort=LEAST, refresh=True)
    assert "\n" not in str(refused.value) and path.name in str(refused.value)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.kept-*"))


def test_a_table_of_another_space_is_refused(device: TargetDevice, tmp_path: Path) -> None:
    other = fbnet(8, 10, 1, width=0.25, candidates=("k3_e1", "skip"))
    path = device.table_path(other, tmp_path)
    path.write_bytes(device.table_path(tiny(), tmp_path).read_bytes())
    with pytest.raises(ValueError, match="the table is for another space: it lacks") as refused:
        device.table(other, tmp_path)
    assert "\n" not in str(refused.value)


def test_what_it_is_is_plain_data(kind: Kind, device: TargetDevice) -> None:
    device.check()
    about = device.about()
    assert isinstance(about, Mapping) and json.loads(json.dumps(dict(about))) == dict(about)
    assert {"cpu", "cores"} <= set(about)
    if kind.measures:
        assert {"python", "numpy", device.key.runtime, "measuring"} <= set(about)


def test_what_is_looked_at_is_shown(device: TargetDevice) -> None:
    for what, state, figure, note in looked_at(device):
        assert state == "ok" and what and figure and "\n" not in what + figure + note


def test_what_cannot_be_used_is_one_line(kind: Kind, tmp_path: Path, a_board: Callable[[], Board]) -> None:
    """By the command that would use it, and by the doctor; naming it costs nothing."""
    broken = kind.broken(tmp_path, a_board)
    with pytest.raises(ValueError) as refused:
        broken.check()
    assert "\n" not in str(refused.value)
    ((_, state, _, cure),) = looked_at(broken)
    assert state == "bad" and cure == str(refused.value)
    assert not list(tmp_path.iterdir())


def test_networks_are_measured_or_it_is_said_why_not(kind: Kind, device: TargetDevice, tmp_path: Path) -> None:
    """In the order asked, one that is asked twice once; where they are not measured none is."""
    space = tiny()
    table = device.table(space, tmp_path)
    for compared in (table, None):
        why = device.not_measured(compared)
        assert (why is None) == kind.measures
        if why is not None:
            assert "\n" not in why and device.key.name in why
            with pytest.raises(ValueError) as refused:
                device.measure([space.decode([1])], compared)
            assert why in str(refused.value)
    if kind.measures:
        small, large = space.decode([1]), space.decode([0])
        times = device.measure([small, large, small], table)
        assert times[0] == times[2] != times[1]
        for time in times:
            assert time.latency_ms > 0 and time.now_ms > 0 and time.spread_ms >= 0 and time.processes > 1


def test_estimates_come_from_the_table_that_it_is(kind: Kind, device: TargetDevice, tmp_path: Path) -> None:
    arch = tiny().decode([0])
    expected = device.table(tiny(), tmp_path).estimate_ms(arch) if kind.is_a_table else None
    assert device.estimate_ms(arch) == expected
    assert device.estimate_ms(fbnet(8, 10, 1, width=0.5, candidates=("k3_e1", "skip")).decode([0] * 22)) is None


def test_a_run_keeps_its_table_whatever_becomes_of_the_devices(
    kind: Kind, device: TargetDevice, tmp_path: Path
) -> None:
    space = tiny()
    table, path = device.table(space, tmp_path), device.table_path(space, tmp_path)
    kept = table.save(tmp_path / "run" / "table.json")
    path.unlink()
    own = device.of_run(kept)
    assert own.key == table.device and LatencyTable.load(kept, space, own.key) == table
    assert (own.not_measured(table) is None) == kind.measures


def test_files_are_timed_here_alone(kind: Kind, device: TargetDevice) -> None:
    why = device.files_not_timed()
    assert (why is None) == kind.is_here and "\n" not in (why or "")


def test_kits_go_to_other_devices_under_their_runtime(kind: Kind, device: TargetDevice) -> None:
    assert device.takes_kits == (not kind.is_here and not kind.is_a_table)  # whose runtime is none of ours
    assert LocalDevice("board").takes_kits and LocalDevice("board", runtime="torch").takes_kits


def test_a_device_is_a_value(device: TargetDevice) -> None:
    """Frozen, and equal to what was made with the same settings, whatever it was asked meanwhile."""
    device.about()
    again = dataclasses.replace(device)  # type: ignore[type-var]
    assert again == device and again.key == device.key
    with pytest.raises(dataclasses.FrozenInstanceError):
        device.name = "another"  # type: ignore[attr-defined]


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
