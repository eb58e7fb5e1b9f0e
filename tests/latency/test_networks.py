"""Networks measured by themselves: by new processes, at calm speed, whatever the machine does meanwhile."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from nas.latency.device import Device
from nas.latency.measuring import calm, networks
from nas.latency.measuring.calm import remember, remembered
from nas.latency.measuring.ladder import ladder, numbers_of, rung_of
from nas.latency.measuring.measure import measure_arch_ms
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.networks import measure_networks, sampled
from nas.latency.measuring.processes.sampling import PROCESSES
from nas.latency.measuring.samples import Conditions
from nas.latency.measuring.visits import Visit
from search_spaces.families.fbnet import fbnet

SMALL = fbnet(8, 10, 1, width=0.25, head_channels=32).decode([8] * 22)
LARGE = fbnet(32, width=0.5).decode([7] * 22)  # so much slower that no load turns the order round


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("torch", marks=pytest.mark.slow)])
def test_measures_the_same_networks(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "PROCESSES", 2)
    monkeypatch.setattr(networks, "MORE", ())
    device = Device(runtime=runtime)
    large, small, again = measure_networks([LARGE, SMALL, LARGE], device)
    assert again == large and large.processes == 2
    here = [measure_arch_ms(arch, device).median_ms for arch in (SMALL, LARGE)]
    assert large.latency_ms > 3 * here[0] > 0
    assert 0.1 < large.latency_ms / here[1] < 10 and large.latency_ms > small.latency_ms
    assert set(remembered(device)) == {rung_of(numbers_of(arch)) for arch in (SMALL, LARGE)}


def test_devices_of_other_machines_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown runtime 'tflite'"):
        measure_networks([SMALL], dataclasses.replace(Device(), runtime="tflite"))


def test_kinds_of_the_program_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(SMALL.layers[0]), "__module__", "__main__")
    with pytest.raises(ValueError, match="the block kind 'conv_bn_act' is defined in the program itself"):
        measure_networks([SMALL], Device())


def test_a_network_of_a_size_that_no_row_of_the_table_was() -> None:
    """It stands at the calmest speed that is remembered, as without a table; of a size that was, at the table's."""
    care = networks.Care(2, 4, 3.0)
    (found,) = measure_networks([SMALL], Device(), Conditions({"6m": 1.0}), care=care)
    seen = remembered(Device())["16k"]
    assert found.latency_ms == pytest.approx(found.now_ms / found.slowdown, rel=0.5)
    (slow,) = measure_networks([SMALL], Device(), Conditions({"16k": 1000 * seen}), care=care)
    assert slow.latency_ms > 100 * found.latency_ms


def luck(times: Sequence[float]) -> tuple[list[int], dict[int, Visit]]:
    """Who was asked, and what they said, where process p measures `times[p]` in each of its visits."""
    asked: list[int] = []

    def ask(processes, keys, record) -> None:
        for process in processes:
            asked.append(process)
            for i in range(3):
                record("a", 3 * process + i, Visit(times[process], 1.0, 5, process, times[process]))

    return asked, sampled({"a"}, ask)["a"]


def test_processes_that_agree_are_enough() -> None:
    asked, _ = luck([1.0] * 12)
    assert asked == list(range(PROCESSES))
    asked, _ = luck([2.0, *[1.0] * 11])  # one was unlucky
    assert asked == list(range(PROCESSES))


def test_processes_that_do_not_agree_are_joined_by_more() -> None:
    asked, _ = luck([1.0, 1.1, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert asked == list(range(8))
    asked, _ = luck([1.0 + 0.3 * i for i in range(12)])
    assert asked == list(range(12))


def test_the_calm_speed_is_remembered_and_only_lowered_by_news(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered(Device()) == {}
    assert remember(Device(), {"6m": 2.0}) == {"6m": 2.0}
    assert remember(Device(), {"6m": 3.0, "2m": 1.0}) == {"6m": 2.0, "2m": 1.0}  # a busy machine teaches nothing
    assert remember(Device(), {"6m": 1.99}) == {"6m": 2.0, "2m": 1.0}  # luck
    assert remember(Device(), {"6m": 1.5}) == {"6m": 1.5, "2m": 1.0}
    assert remembered(Device(name="board")) == {"6m": 1.5, "2m": 1.0}  # it is one machine
    assert remembered(Device(runtime="torch")) == {}
    with monkeypatch.context() as patch:
        here = calm.here(Device())
        patch.setattr(calm, "here", lambda device: {**here, "onnxruntime": "0.1"})
        assert remembered(Device()) == {}
    (file,) = cache.glob("calm-*.json")
    file.write_text(file.read_text().replace("1.5", "0.1"))
    assert remembered(Device()) == {}  # damaged
    file.unlink()
    cache.rmdir()
    cache.write_text("no folder")
    assert remember(Device(), {"6m": 3.0}) == {"6m": 3.0}


def test_a_machine_of_another_pace_is_told_of() -> None:
    assert NetworkTime(1.0, 1.05, 0.0, slowdown=1.08).note == ""
    assert NetworkTime(1.0, 1.3, 0.0, slowdown=1.31).note == (
        "measured now: 1.3 ms, on a machine 31% slower than that time stands for"
    )
    assert "20% faster" in NetworkTime(1.0, 0.8, 0.0, slowdown=0.8).note


def test_references_are_a_ladder() -> None:
    sizes = [numbers_of(arch) for arch in ladder().values()]
    assert sizes == sorted(sizes)
    assert all(1.8 < high / low < 8 for low, high in itertools.pairwise(sizes))
    assert [rung_of(size) for size in sizes] == list(ladder())
    assert (rung_of(0), rung_of(10**10)) == ("16k", "12m")
