"""Interleaving, the watch over drift, and the journal, on a clock of our own."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest
import torch

from nas.latency.device import Device, pinned
from nas.latency.measuring.journal import Journal, locked, seal
from nas.latency.measuring.measure import Repeats, measure_arch_ms
from nas.latency.measuring.samples import Conditions, Measurement, measurements
from nas.latency.measuring.timing import timed
from nas.latency.measuring.visits import LEAST_VISITS, Interleaved, Visit, Visits, undisturbed
from nas.latency.runtimes import NAMES, check_local
from nas.networks.network import Network
from nas.runs.machine import usable_cores
from search_spaces.families.fbnet import fbnet

VISIT = Visit(5.0, 2.0, 1, 0, 5.5)


class Machine:
    """Workloads that take what we say, slower by `disturbance(time)`."""

    def __init__(self, disturbance=lambda now: 1.0) -> None:
        self.now = 0.0
        self.disturbance = disturbance

    def workload(self, key: str, ms: float):
        def run(calls: int) -> list[float]:
            times = []
            for _ in range(calls):
                took = ms * self.disturbance(self.now)
                self.now += took
                times.append(took)
            return times

        return run

    def copies(self, key: str, *ms: float):
        return [self.workload(key, each) for each in ms]


def watch(machine: Machine, visits: Visits, process: int = 0) -> Interleaved:
    """A process that measures, beside a reference of 1 ms."""

    def record(key: str, turn: int, visit: Visit) -> None:
        visits.setdefault(key, {})[turn] = visit

    return Interleaved(0, 10.0, {"6m": machine.workload("", 1.0)}, record, process=process)


def measured(visits: Visits) -> dict[str, Measurement]:
    return measurements(visits, dict.fromkeys(visits, "6m"), Conditions({"6m": 1.0}))


def turns(workloads: dict, rounds: int) -> dict[str, range]:
    return dict.fromkeys(workloads, range(rounds))


def test_every_round_visits_all_in_a_new_order() -> None:
    machine, made = Machine(), Visits()
    workloads = {key: machine.copies(key, 5.0) for key in "abcdef"}
    run = watch(machine, made)
    run.run(workloads, turns(workloads, 4))
    visits: list[str] = []
    run.record = lambda key, turn, visit: visits.append(key)
    run.run(workloads, turns(workloads, 4))
    rounds = [visits[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(order) == list("abcdef") for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    result = measured(made)["a"]
    assert (result.median_ms, result.spread_ms, result.count, result.slowdown) == (5.0, 0.0, 8, 1.0)


@pytest.mark.parametrize(("minutes", "rounds"), [(2.0, 20), (0.015, 10), (0.001, LEAST_VISITS)])
def test_limit_on_time_leaves_out_rounds_but_no_workload(minutes: float, rounds: int) -> None:
    machine, made = Machine(), Visits()
    workloads = {key: machine.copies(key, 10.0) for key in "abc"}  # 3 x (1 + 2) calls: 90 ms a round
    watch(machine, made).run(workloads, turns(workloads, 20), minutes)
    assert {key: len(visits) for key, visits in made.items()} == dict.fromkeys("abc", rounds)


def test_limit_on_time_adds_no_rounds() -> None:
    machine, made = Machine(), Visits()
    workloads = {"a": machine.copies("a", 1.0)}
    watch(machine, made).run(workloads, turns(workloads, 1), 1e-6)
    assert len(made["a"]) == 1


def test_each_workload_stands_beside_the_reference_of_its_size() -> None:
    machine, made = Machine(), Visits()
    references = {"small": machine.workload("", 0.5), "large": machine.workload("", 4.0)}
    run = Interleaved(0, 10.0, references, lambda key, turn, visit: made.setdefault(key, {}).update({turn: visit}))
    run.rungs = {"a": "small", "b": "large"}
    workloads = {"a": machine.copies("a", 1.0), "b": machine.copies("b", 5.0)}
    run.run(workloads, turns(workloads, 2))
    assert {key: {visit.reference_ms for visit in visits.values()} for key, visits in made.items()} == {
        "a": {0.5},
        "b": {4.0},
    }


def test_the_time_of_a_visit_is_one_that_a_tenth_stay_below() -> None:
    assert undisturbed([9.0, 5.0, 7.0]) == 5.0
    assert undisturbed([float(ms) for ms in range(10, 0, -1)]) == 1.0
    assert undisturbed([float(ms) for ms in range(21, 0, -1)]) == 3.0


def test_copies_take_turns_and_the_halves_share_none() -> None:
    machine, made = Machine(), Visits()
    workloads = {"a": machine.copies("a", 5.0, 6.0, 5.2, 6.4)}
    watch(machine, made).run(workloads, turns(workloads, 8))
    assert [visit.ms for _, visit in sorted(made["a"].items())] == [5.0, 6.0, 5.2, 6.4] * 2
    assert measured(made)["a"].halves_ms == pytest.approx((5.1, 6.2))


def test_visits_of_an_earlier_process_are_kept(tmp_path: Path) -> None:
    path, header = tmp_path / "journal.jsonl", {"what": "test"}
    journal = Journal(path, header)
    for turn in range(4):
        for key in "abc":
            journal.record(key, turn, VISIT)
    journal.close()
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 13
    path.write_text("".join(lines[:8]) + lines[8][:20])  # killed in the middle of a line

    journal = Journal(path, header)
    assert {key: sorted(visits) for key, visits in journal.visits.items()} == {"a": [0, 1, 2], "b": [0, 1], "c": [0, 1]}
    journal.record("b", 2, VISIT)
    journal.close()
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert len(path.read_text().splitlines()) == 9

    before = path.read_bytes()
    said: list[str] = []
    other = Journal(path, {"what": "something else"}, said.append)
    other.close()
    assert other.visits == {}
    (kept,) = tmp_path.glob("*.kept-*.jsonl")  # nothing that was measured is thrown away
    assert kept.read_bytes() == before
    assert said == [f"journal.jsonl is of another measurement (what); it is kept as {kept.name}"]


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace("5.0", "6.0"),
        lambda line: sealed(line, visit=[-5.0, 2.0, 1, 0, 5.0]),
        lambda line: sealed(line, visit=[None, 2.0, 1, 0, 5.0]),
        lambda line: sealed(line, visit=[5.0, 2.0, 1, 0, float("inf")]),
        lambda line: sealed(line, visit=[5.0, "1", 1, 0, 5.0]),
        lambda line: sealed(line, turn=-1),
        lambda line: sealed(line, key=["a"]),
        lambda line: sealed(line, visit=[5.0, 2.0, 0, 0, 5.0]),
        lambda line: sealed(line, visit=[5.0, 2.0, 1, True, 5.0]),
        lambda line: sealed(line, visit=[5.0, 2.0]),
        lambda line: "[1, 2]",
        lambda line: "7",
        lambda line: "{",
        lambda line: "[" * 100_000,
    ],
)
def test_damaged_visits_are_made_again(tmp_path: Path, change) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, {})
    for turn in range(3):
        journal.record("a", turn, VISIT)
    journal.close()
    lines = path.read_text().splitlines()
    lines[2] = change(lines[2])
    path.write_text("\n".join(lines) + "\n")
    said: list[str] = []
    again = Journal(path, {}, said.append)
    again.close()
    assert again.visits == {"a": {0: VISIT, 2: VISIT}}
    assert said == ["journal.jsonl has 1 damaged lines; their visits are made again"]


def sealed(line: str, **changes: object) -> str:
    data = {**json.loads(line), **changes}
    return json.dumps({**data, "seal": seal(data, "seal")[:8]})


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_measures_a_network_and_leaves_it_alone(runtime: str) -> None:
    arch = fbnet(16, width=0.25).decode([0] * 22)
    device = Device(runtime=runtime)
    threads = torch.get_num_threads()
    from_arch = measure_arch_ms(arch, device, repeats=Repeats(3, 2.0))
    network = Network(arch).train()
    from_module = measure_arch_ms(network, device, repeats=Repeats(3, 2.0))
    assert network.training
    assert torch.get_num_threads() == threads
    assert 0.1 < from_arch.median_ms / from_module.median_ms < 10
    small = measure_arch_ms(network.blocks[0], device, input_shape=(8, 16, 16), repeats=Repeats(3, 2.0))
    assert small.median_ms < from_arch.median_ms
    with pytest.raises(ValueError, match="input_shape"):
        measure_arch_ms(network.blocks[0], device)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime": "tflite"}, f"unknown runtime 'tflite'; one of {', '.join(NAMES)}"),
        ({"dtype": "fp8"}, "does not measure dtype=fp8; one of fp32"),
        ({"threads": 4096}, "threads=4096, but this machine has"),
        ({"processor": "tpu"}, "does not measure processor=tpu; one of cpu, cuda"),
    ],
)
def test_impossible_devices_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_arch_ms(fbnet(16).decode([0] * 22), Device(**change))


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 0}, {"threads": -1}, {"name": "a/b"}, {"batch_size": True}, {"runtime": "../x"}, {"dtype": 3}],
)
def test_senseless_devices_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="device"):
        Device(**change)


def test_waiting_counts_and_preemption_does_not() -> None:
    """The clock of the calling thread leaves out only what the system took, never what a call waited for."""
    assert timed(lambda: time.sleep(0.05), in_calling_thread=True)(1)[0] >= 50
    assert timed(lambda: time.sleep(0.05))(1)[0] >= 50

    def computes_elsewhere() -> None:
        worker = threading.Thread(target=lambda: time.sleep(0.05))
        worker.start()
        worker.join()

    assert timed(computes_elsewhere, in_calling_thread=True)(1)[0] >= 50


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_threads_that_share_a_core_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="pin=true binds measuring to one core"), pinned(True, 2):
        pass
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1})
    with pytest.raises(ValueError, match=r"threads=2, but .* leaves this process 1; use at most 1"):
        check_local(Device(threads=2))


@pytest.mark.parametrize(
    ("group", "file", "content", "cores"),
    [
        ("0::/a/b", "sys/fs/cgroup/a/cpu.max", "150000 100000", 1),
        ("0::/a/b", "sys/fs/cgroup/a/cpu.max", "350000 100000", 3),
        ("0::/a/b", "sys/fs/cgroup/cpu.max", "20000 100000", 1),
        ("0::/a/b", "sys/fs/cgroup/a/cpu.max", "max 100000", 8),
        ("4:cpu,cpuacct:/a", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "200000", 2),
        ("4:cpu,cpuacct:/a", "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "-1", 8),
        ("3:memory:/a", "sys/fs/cgroup/memory/a/cpu.max", "100000 100000", 8),
    ],
)
def test_quota_of_control_groups_limits_the_cores(
    group: str, file: str, content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(group + "\n")
    assert usable_cores(tmp_path) == 8
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(content + "\n")
    (tmp_path / file).with_name("cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_are_named(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(ValueError, match=r"t.lock has no file locks .*on a local disk"),
        locked(tmp_path / "t.lock", print),
    ):
        pass
