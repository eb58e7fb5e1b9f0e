"""Real, small builds: reuse, resumption after kill -9, two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nas.latency import build
from nas.latency.build import Effort, build_table
from nas.latency.device import Device
from nas.latency.measure import measure_arch_ms
from nas.latency.table import LatencyTable, entries, table_path
from search_spaces.fbnet import fbnet
from search_spaces.rexnet_space import rexnet

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
SCRIPT = f"""
import sys
from tests.latency.test_build import SMALL, SPACE
from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.standalone import Journal
die_after = int(sys.argv[2])
{MORTAL}
table = build_table(SPACE, Device(), sys.argv[1], effort=SMALL)
print(table.offset_ms)
"""


def start(directory: Path, die_after: int = 0) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(directory), str(die_after)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_builds_and_reuses(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(runtime=runtime)
    table = build_table(SPACE, device, tmp_path, effort=SMALL)
    assert len(table.rows_) == len(entries(SPACE))
    assert all(row.ms > 0 and row.calibrated_ms > 0 and row.count >= 4 for row in table.rows_)
    assert table.proof is not None
    assert table.proof.networks == 4
    assert table.environment["cpu"]
    slow, fast = SPACE.decode([1] * 22), SPACE.decode([2] * 22)
    assert table.estimate_ms(slow) > table.estimate_ms(fast) > 0
    assert not list(tmp_path.glob("*.jsonl"))

    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(SPACE, device, tmp_path, effort=SMALL) == table


def test_other_machines_table_is_measured_anew(tmp_path: Path) -> None:
    path = table_path(tmp_path, SPACE, Device())
    table = build_table(SPACE, Device(), tmp_path, effort=SMALL)
    path.write_text(path.read_text().replace(table.environment["cpu"], "another processor"))
    assert build_table(SPACE, Device(), tmp_path, effort=SMALL).environment["cpu"] == table.environment["cpu"]


def test_kill_and_continue(tmp_path: Path) -> None:
    journal = table_path(tmp_path, SPACE, Device()).with_suffix(".jsonl")
    process = start(tmp_path, die_after=40)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    before = journal.read_text().splitlines()
    assert len(before) == 41  # a header first
    assert not table_path(tmp_path, SPACE, Device()).exists()
    total = len(entries(SPACE)) * SMALL.rounds
    assert total > 40

    process = start(tmp_path)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"{total}/{total} visits" in out
    LatencyTable.load(table_path(tmp_path, SPACE, Device()), SPACE, Device())


def test_two_at_once_make_one_table(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], results
    offsets = {out.splitlines()[-1] for out, _ in results}
    assert len(offsets) == 1
    assert sum("waiting for another process" in out for out, _ in results) <= 1
    assert sum("measuring blocks" in out for out, _ in results) == 1
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
    assert measure_arch_ms(arch, Device(), rounds=2, visit_ms=1.0).median_ms > 0
    monkeypatch.setattr(build, "_build", lambda *args: pytest.fail("measured again"))
    assert build_table(space, Device(), tmp_path, effort=SMALL) == table
