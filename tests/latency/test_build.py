"""Real, small builds: reuse, resumption after kill -9, two processes at once."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.latency import build
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.effort import Effort, Visiting
from nas.latency.measuring.journal import Journal
from nas.latency.measuring.measure import Repeats, measure_arch_ms
from nas.latency.measuring.processes import bench as bench_module
from nas.latency.measuring.processes.sampling import Group
from nas.latency.measuring.visits import Visit
from nas.latency.show import show
from nas.latency.tables import origin, reuse
from nas.latency.tables.table import LatencyTable, entries, table_path
from search_spaces.families.fbnet import fbnet
from search_spaces.families.rexnet.space import rexnet
from search_spaces.wrappers.joint import single
from tests.processes import FORKED

SMALL = Effort(fit_networks=6, held_out_networks=4, rounds=2, network_rounds=2, visit_ms=0.3, network_visit_ms=2.0)
SPACE = fbnet(16, num_classes=10, width=0.25, candidates=("k3_e1", "k5_e3", "skip"))
# A `Journal` that kills its process behind its `die_after`-th record (0: never), at the same place on every machine.
MORTAL = """
import os, signal
record, made = Journal.record, []
def record_and_die(self, *visit):
    record(self, *visit)
    made.append(visit)
    if len(made) == die_after:
        os.kill(os.getpid(), signal.SIGKILL)
Journal.record = record_and_die
"""


def build_there(directory: Path, said: Path, die_after: int = 0) -> None:
    """Build, and say what is done in the file `said` instead of on the standard output."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
    exec(MORTAL, {"Journal": Journal, "die_after": die_after})
    print(build_table(SPACE, Device(), directory, effort=SMALL).offset_ms)


def start(*arguments: Any) -> BaseProcess:
    process = FORKED.Process(target=build_there, args=arguments)
    process.start()
    return process


def test_builds_and_reuses(folder: Path, built: LatencyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runtimes: test_runtime_contract.py."""
    table = built
    assert len(table.rows_) == len(entries(SPACE))
    assert all(row.ms > 0 and row.calibrated_ms > 0 and row.count >= 4 for row in table.rows_)
    assert table.proof is not None
    assert table.proof.networks == 4
    assert table.device == Device() and table.environment["cpu"] and table.environment["onnxruntime"]
    (file,) = folder.glob("*.json")
    assert "-onnxruntime-fp32-b1-t1.json" in file.name and LatencyTable.load(file).fell_back == table.fell_back
    slow, fast = SPACE.decode([1] * 22), SPACE.decode([2] * 22)
    assert table.estimate_ms(slow) > table.estimate_ms(fast) > 0
    assert not list(folder.glob("*.jsonl"))

    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(SPACE, Device(), folder, effort=SMALL) == table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


@pytest.fixture(scope="module")
def built(folder: Path) -> LatencyTable:
    """A table of this machine, which is in `folder`."""
    return build_table(SPACE, Device(), folder, effort=SMALL)


def stored(table: LatencyTable, folder: Path, **changes: Any) -> Path:
    return dataclasses.replace(table, **changes).save(table_path(folder, SPACE, changes.get("device", table.device)))


@pytest.mark.parametrize("entry", ["cpu", "onnxruntime", "cores", "measuring"])
def test_local_table_of_another_machine_is_kept_aside(
    entry: str, built: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(built, environment={**built.environment, entry: "another"})
    assert not other.is_of_this_machine and other.elsewhere.startswith(f'{entry} is "another", asked is ')
    path = stored(other, tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(build, "_build", lambda *args: built)
    assert build_table(SPACE, Device(), tmp_path, effort=SMALL) == built
    (kept,) = tmp_path.glob("*.kept-*")
    assert kept.read_bytes() == before
    assert "measured by another machine" in capsys.readouterr().out
    # the other machine comes back: it finds its own, and this one's is kept
    monkeypatch.setattr(reuse, "here", lambda device: other.environment)
    monkeypatch.setattr(origin, "here", lambda device: other.environment)
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(SPACE, Device(), tmp_path, effort=SMALL) == other
    assert path.read_bytes() == before


PIXEL = Device(name="pixel3")


@pytest.mark.parametrize(
    ("device", "environment", "why"),
    [
        (PIXEL, {"imported": {"file": "lut.json"}}, "imported from lut.json"),
        (Device("pixel3", runtime="tflite"), {"imported": {"file": "lut.json"}}, "imported from lut.json"),
        (PIXEL, {"onnxruntime": "1.2.3", "kit": "abc"}, "onnxruntime is"),
        (PIXEL, {"kit": "abc"}, "with the kit abc"),
        (PIXEL, {"cpu": "another"}, "cpu is"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_table_of_another_device_is_used_as_it_is(
    device: Device, environment: dict, why: str, built: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little it is proven, and where `refresh` asks for this machine's times."""
    found = environment if "imported" in environment else {**built.environment, **environment}
    path = stored(built, tmp_path, device=device, environment=found, proof=None)
    before = path.read_bytes()
    said: list[str] = []
    monkeypatch.setattr(reuse, "log", said.append)
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured here"))
    table = build_table(SPACE, device, tmp_path)
    assert why in said[0]
    assert table.is_of_this_machine == (environment == {"kit": "abc"})
    with pytest.raises(ValueError, match="holds the times of another device"):
        build_table(SPACE, device, tmp_path, refresh=True)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.kept-*"))


def test_table_does_not_depend_on_the_seed(
    built: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where a space of few networks gave fewer for the proof than were asked."""
    assert built.proof is not None
    few = dataclasses.replace(built, proof=dataclasses.replace(built.proof, networks=3))
    stored(few, tmp_path)
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    for seed in range(3):
        assert build_table(SPACE, Device(), tmp_path, effort=SMALL, visiting=Visiting(seed)) == few


def test_finished_table_in_a_folder_that_cannot_be_written_is_used(
    built: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(built, tmp_path)

    def refuse(*args: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(build, "locked", refuse)
    assert build_table(SPACE, Device(), tmp_path, effort=SMALL) == built
    monkeypatch.setattr("nas.latency.tables.plot.scatter", refuse)
    show(built, tmp_path / "table.json", 1.0)
    assert "no plot beside the table: [Errno 30] Read-only file system" in capsys.readouterr().out


@pytest.mark.slow
def test_killed_and_continued_by_two_at_once_makes_one_table(tmp_path: Path) -> None:
    journal = table_path(tmp_path, SPACE, Device()).with_suffix(".jsonl")
    process = start(tmp_path, tmp_path / "said", 40)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    before = journal.read_text().splitlines()
    assert len(before) == 41  # a header first
    assert not table_path(tmp_path, SPACE, Device()).exists()
    total = len(entries(SPACE)) * SMALL.rounds
    assert total > 40

    said = [tmp_path / "one", tmp_path / "other"]
    processes = [start(tmp_path, path) for path in said]
    for process in processes:
        process.join()
    results = [path.read_text() for path in said]
    assert [process.exitcode for process in processes] == [0, 0], results
    offsets = {out.splitlines()[-1] for out in results}
    assert len(offsets) == 1
    assert sum(f"{total}/{total} visits" in out for out in results) == 1
    assert sum("waiting for another process" in out for out in results) <= 1
    assert sum("measuring blocks" in out for out in results) == 1
    LatencyTable.load(table_path(tmp_path, SPACE, Device()), SPACE, Device())


@pytest.mark.parametrize("name", ["fit_networks", "rounds"])
def test_too_little_effort_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be >= 2"):
        Effort(**{name: 1})


def test_every_part_of_the_networks_holds_fitted_and_held_out_ones() -> None:
    fit, held_out = build.draw_networks(SPACE, Effort(fit_networks=48, held_out_networks=16), 0)
    order = build.shuffled(fit + held_out, 0)
    assert order == build.shuffled(fit + held_out, 0) != fit + held_out
    assert sorted(arch.id for arch in order) == sorted(arch.id for arch in fit + held_out)
    for start in range(0, 64, 16):
        assert {arch in held_out for arch in order[start : start + 16]} == {True, False}


@pytest.mark.slow
def test_rexnets_are_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their networks have another layout; tables, their own networks and single measurements all take them.

    This space is so small that networks drawn for the proof are among those of the fit; its table is reused all the
    same.
    """
    space = rexnet(16, 10, 1, widths=(0.2, 0.3, 0.4), firsts=(8, 16))
    table = build_table(space, Device(), tmp_path, effort=SMALL)
    assert len(table.rows_) == len(entries(space))
    assert table.proof is not None and table.proof.networks == 2 < SMALL.held_out_networks
    arch = space.decode(space.count("macs").cheapest())
    assert table.estimate_ms(arch) == table.cost(space)(np.array([space.encode(arch)]))[0] > 0
    assert measure_arch_ms(arch, Device(), repeats=Repeats(2, 1.0)).median_ms > 0
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(space, Device(), tmp_path, effort=SMALL) == table


def test_spaces_of_few_networks_are_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four networks prove a table on two of them; a single one is measured, and its table is not proven."""
    four = rexnet(16, 10, 1, widths=(0.2, 0.4), firsts=(8,))
    assert four.size == 4
    fit, held_out = build.draw_networks(four, Effort(), 0)
    assert (len(fit), len(held_out)) == (2, 2)
    assert len({arch.id for arch in fit + held_out}) == 4
    some = rexnet(32, 10, 1)  # of 131 networks, as far as draws tell
    fit, held_out = build.draw_networks(some, Effort(fit_networks=128, held_out_networks=40), 0)
    assert len(held_out) >= 20 and len(fit) > 2 * len(held_out)
    assert len({arch.id for arch in fit + held_out}) == len(fit) + len(held_out)
    one = single(SPACE.decode([1] * 22))
    table = build_table(one, Device(), tmp_path, effort=SMALL)
    assert table.proof is None and table.margin == 0
    assert len(table.networks) == 1
    assert table.estimate_ms(one.decode(())) == pytest.approx(table.networks[0]["measured_ms"], rel=0.01)
    assert LatencyTable.load(table_path(tmp_path, one, Device()), one, Device()) == table
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(one, Device(), tmp_path, effort=SMALL) == table


def test_networks_on_whose_time_processes_disagree_are_visited_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """By as many processes again, which are new; what they said themselves does not count in who they are."""
    group = Group([{"key": key, "rung": "6m", "params": 1} for key in "abc"], rounds=15, visit_ms=3.0, minutes=2.0)
    luck = {"a": [1.0] * 5, "b": [1.0, 1.3, 1.0, 1.3, 1.6], "c": [1.0, 1.0, 1.0, 1.0, 1.9]}
    visits = {
        key: {3 * process + i: Visit(ms, 1.0, 5, process, ms) for process, ms in enumerate(times) for i in range(3)}
        for key, times in luck.items()
    }
    assert build.disagreeing(group, visits) == {"b"}
    more = group.once_more({"b"})
    asked = more.requests({"seed": 0, "references": {"6m": {}}}, visits)
    assert [(one["process"], one["turns"]) for one in asked] == [
        (process, {"b": [3 * process, 3 * process + 1, 3 * process + 2]}) for process in range(5, 10)
    ]
    assert sum(one["minutes"] for one in asked) == pytest.approx(2.0 / 3)
    shown = list[tuple[int, int]]()
    monkeypatch.setattr(build, "phase", lambda _, total, unit, completed: shown.append((completed, total)))
    for part in (group, more):
        build._phase("measuring", part, visits)
    assert shown == [(45, 45), (0, 15)]
    for one in asked:
        visits["b"] |= {turn: Visit(1.0, 1.0, 5, one["process"], 1.0) for turn in one["turns"]["b"]}
    assert build.disagreeing(group, visits) == {"b"} and not more.requests({"references": {}}, visits)
    assert not build.disagreeing(Group(group.entries, rounds=2, visit_ms=3.0), visits)  # two say little of their error


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_where_nothing_is_left_to_visit_no_process_begins(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that was interrupted behind its last block goes on with its networks."""
    monkeypatch.setattr(bench_module, "ask", lambda *given: pytest.fail("a process was begun"))
    with bench_module.bench(Device(runtime=runtime)) as ready:
        assert not ready.run([], lambda key, turn, visit: None)
