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
from nas.latency.measuring.measure import Measurement, Repeats, measure_arch_ms, measurements
from nas.latency.measuring.timing import timed
from nas.latency.measuring.visits import LEAST_ROUNDS, Interleaved, Visit
from nas.latency.runtimes import check_local
from nas.networks.network import Network
from nas.runs.machine import usable_cores
from search_spaces.families.fbnet import fbnet


class Machine:
    """Workloads that take what we say, slower by `disturbance(time)`; keeps the order of visits."""

    def __init__(self, disturbance=lambda now: 1.0) -> None:
        self.now = 0.0
        self.disturbance = disturbance
        self.order: list[str] = []

    def workload(self, key: str, ms: float):
        def run(calls: int) -> list[float]:
            times = []
            for _ in range(calls):
                took = ms * self.disturbance(self.now)
                self.now += took
                times.append(took)
            if key and (not self.order or self.order[-1] != key):
                self.order.append(key)
            return times

        return run

    def copies(self, key: str, *ms: float):
        return [self.workload(key, each) for each in ms]


def watch(machine: Machine, rounds: int = 4, **kwargs) -> Interleaved:
    return Interleaved(0, rounds, 10.0, machine.workload("", 1.0), **kwargs)


def test_every_round_visits_all_in_a_new_order() -> None:
    machine = Machine()
    workloads = {key: machine.copies(key, 5.0) for key in "abcdef"}
    run = watch(machine)
    run.run(workloads)
    visits = machine.order[6:]
    rounds = [visits[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(order) == list("abcdef") for order in rounds)
    assert len({tuple(order) for order in rounds}) > 1
    result = measurements(run.visits)["a"]
    assert (result.median_ms, result.spread_ms, result.count, result.under_load) == (5.0, 0.0, 8, 0)


@pytest.mark.parametrize(("minutes", "rounds"), [(2.0, 20), (0.015, 10), (0.001, LEAST_ROUNDS)])
def test_limit_on_time_leaves_out_rounds_but_no_workload(minutes: float, rounds: int) -> None:
    machine = Machine()
    workloads = {key: machine.copies(key, 10.0) for key in "abc"}  # 3 x (1 + 2) calls: 90 ms a round
    run = watch(machine, rounds=20)
    plan = run.plan(workloads, minutes)
    assert (plan.rounds, dict(plan.calls)) == (rounds, dict.fromkeys("abc", 2))
    run.run(workloads, plan=plan)
    assert {key: len(turns) for key, turns in run.visits.items()} == dict.fromkeys("abc", rounds)


def test_limit_on_time_adds_no_rounds() -> None:
    machine = Machine()
    assert watch(machine, rounds=2).plan({"a": machine.copies("a", 1.0)}, 1e-6).rounds == 2


def test_disturbed_stretch_is_measured_again() -> None:
    machine = Machine(lambda now: 3.0 if 300 < now < 900 else 1.0)
    workloads = {key: machine.copies(key, 20.0) for key in "abcdef"}
    run = watch(machine, rounds=6)
    run.run(workloads)
    assert all(v.ms == 20.0 for turns in run.visits.values() for v in turns.values())


def test_copies_take_turns_and_the_halves_share_none() -> None:
    machine = Machine()
    run = watch(machine, rounds=8)
    run.run({"a": machine.copies("a", 5.0, 6.0, 5.2, 6.4)})
    assert [visit.ms for _, visit in sorted(run.visits["a"].items())] == [5.0, 6.0, 5.2, 6.4] * 2
    found = measurements(run.visits)["a"]
    assert found.halves_ms == (5.1, 6.2)
    assert found.median_ms == 5.6


def test_halves_keep_their_copies_when_a_disturbed_visit_is_left_out() -> None:
    visits = [Visit(5.0 + turn % 2, 9.0 if turn in (1, 2) else 1.0, 1) for turn in range(8)]
    found = Measurement.of(visits, 1.0)
    assert (found.halves_ms, found.under_load) == ((5.0, 6.0), 2)


def test_lasting_disturbance_is_reported() -> None:
    machine = Machine(lambda now: 3.0 if now > 1500 else 1.0)
    run = watch(machine, rounds=6)
    run.run({key: machine.copies(key, 20.0) for key in "abcdef"})
    assert measurements(run.visits)["a"].under_load > 0


def test_visits_of_an_earlier_process_are_kept(tmp_path: Path) -> None:
    header = {"what": "test"}
    machine = Machine()
    workloads = {key: machine.copies(key, 5.0) for key in "abc"}
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, header)
    watch(machine, record=journal.record, visits=journal.visits).run(workloads)
    journal.close()
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 13
    path.write_text("".join(lines[:8]) + lines[8][:20])  # killed in the middle of a line

    journal = Journal(path, header)
    assert sum(len(turns) for turns in journal.visits.values()) == 7
    count = []
    run = watch(machine, record=journal.record, visits=journal.visits)
    run.run(workloads, lambda: count.append(1))
    journal.close()
    assert len(count) == 5
    assert all(sorted(turns) == [0, 1, 2, 3] for turns in run.visits.values())
    assert all(json.loads(line) for line in path.read_text().splitlines())

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
        lambda line: line.replace('"ms": 5.0', '"ms": 6.0'),
        lambda line: sealed(line, ms=-5.0),
        lambda line: sealed(line, ms=None),
        lambda line: sealed(line, ms=float("inf")),
        lambda line: sealed(line, ref="1"),
        lambda line: sealed(line, turn=-1),
        lambda line: sealed(line, key=["a"]),
        lambda line: sealed(line, calls=0),
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
        journal.record("a", turn, Visit(5.0, 2.0, 1))
    journal.close()
    lines = path.read_text().splitlines()
    lines[2] = change(lines[2])
    path.write_text("\n".join(lines) + "\n")
    said: list[str] = []
    again = Journal(path, {}, said.append)
    again.close()
    assert again.visits == {"a": {0: Visit(5.0, 2.0, 1), 2: Visit(5.0, 2.0, 1)}}
    assert said == ["journal.jsonl has 1 damaged lines; their visits are made again"]


def sealed(line: str, **changes: object) -> str:
    data = {**json.loads(line), **changes}
    return json.dumps({**data, "seal": seal(data, "seal")[:8]})


def test_quieter_visit_wins(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl", {})
    journal.record("a", 0, Visit(5.0, 2.0, 1))
    journal.record("a", 0, Visit(4.0, 1.0, 1))
    journal.record("a", 0, Visit(9.0, 3.0, 1))
    journal.close()
    again = Journal(tmp_path / "j.jsonl", {})
    again.close()
    assert again.visits["a"][0].ms == 4.0


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
    # relative to the reference, since the machine itself may have changed its pace between the two
    ratio = from_arch.median_ms / from_arch.reference_ms * from_module.reference_ms / from_module.median_ms
    assert 0.1 < ratio < 10
    assert from_arch.reference_ms > 0
    assert min(from_arch.halves_ms) <= from_arch.median_ms <= max(from_arch.halves_ms)
    small = measure_arch_ms(network.blocks[0], device, input_shape=(8, 16, 16), repeats=Repeats(3, 2.0))
    assert small.median_ms / small.reference_ms < from_arch.median_ms / from_arch.reference_ms
    with pytest.raises(ValueError, match="input_shape"):
        measure_arch_ms(network.blocks[0], device)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"runtime": "tflite"}, "unknown runtime 'tflite'; one of onnxruntime, torch"),
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
