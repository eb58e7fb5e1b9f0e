"""What processes that measure do before their first visit: once for all of them, and told while it lasts."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from nas.latency.device import Device
from nas.latency.devices.remote.job import _Told
from nas.latency.measuring import kit_script
from nas.latency.measuring.journal import Journal
from nas.latency.measuring.processes.bench import bench
from nas.latency.measuring.processes.module_script import FORKS
from nas.latency.measuring.processes.sampling import ask, request
from nas.latency.measuring.timing import Copies
from nas.latency.measuring.visits import Visit
from nas.latency.runtimes import register
from nas.latency.runtimes.base import GraphRuntime, Session

from .devices.kinds import tiny
from .test_ended import MORTAL, asked

FILE = "NAS_TEST_GRAPHS"  # the variable that names the file


class WrittenDown(GraphRuntime):
    """Computes nothing, and writes down which process made a graph and which opened one."""

    name = "written_down"
    dtypes = ("fp32",)
    packages = ()

    def graph(self, module: nn.Module, shape: tuple[int, ...], device: Device) -> bytes:
        _note("graph")
        return super().graph(module, shape, device)

    def open(self, graph: bytes, shape: tuple[int, ...], device: Device, count: int) -> Sequence[Session]:
        _note("open")
        return [Session(lambda: None, lambda: np.zeros(1)) for _ in range(count)]


class OwnLoad(WrittenDown):
    """Loads in a way of its own."""

    name = "own_load"

    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        _note("load")
        return super().load(module, shape, device, count)


def _note(word: str) -> None:
    with Path(os.environ[FILE]).open("a") as file:
        print(word, os.getpid(), file=file)


register(WrittenDown())
register(OwnLoad())


@pytest.mark.skipif(not FORKS, reason="this system forks no processes")
def test_graphs_are_made_once_for_all_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In eight bits a network's takes two seconds: each of five processes made them all before its first visit."""
    monkeypatch.setenv(FILE, str(tmp_path / "made"))
    words = _noted(WrittenDown.name, tmp_path / "made")
    assert Counter(word for word, _ in words) == {"graph": 2, "open": 6}  # the network, the reference beside it
    assert len({process for word, process in words if word == "open"}) == 3


@pytest.mark.skipif(not FORKS, reason="this system forks no processes")
def test_a_runtime_that_is_given_graphs_may_load_in_a_way_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that measure went past its `load`, and timed what ours loads."""
    monkeypatch.setenv(FILE, str(tmp_path / "made"))
    words = _noted(OwnLoad.name, tmp_path / "made")
    assert Counter(word for word, _ in words) == {"load": 6, "graph": 6, "open": 6}


def _noted(runtime: str, file: Path) -> list[list[str]]:
    """What is written down, word and process, where three processes visit a network."""
    space, visits = tiny(), list[int]()
    arch = space.decode(space.sample(1, np.random.default_rng(0))[0])
    with bench(Device(runtime=runtime)) as ready:
        entries = [ready.network("net:a", arch)]
        common = ready.common(entries, 0)
        wanted = [request(common, entries, process, {"net:a": [process]}, 1.0) for process in range(3)]
        ready.run(wanted, lambda key, turn, visit: visits.append(turn))
    assert visits == [0, 1, 2]
    return [line.split() for line in file.read_text().splitlines()]


def test_what_a_process_does_before_it_visits_is_told() -> None:
    """Loading takes minutes under some runtimes: `0 visits` alone looks as if it hung."""
    quick = "from nas.latency.measuring.processes import sampling\nsampling.SAYS_SECONDS = 0\n"
    order: list[str] = []
    ask(
        [sys.executable, "-c", quick + MORTAL, "0"],
        [asked("net:good", "net:other")],
        lambda key, turn, visit: order.append(key),
        told=order.append,
    )
    assert order[:3] == ["loading 1 of 3", "loading 2 of 3", "loading 3 of 3"]
    assert sorted(order[3:]) == ["net:good", "net:other"]


def test_a_kit_tells_it_and_a_board_passes_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kit_script, "SAYS_EVERY_SECONDS", -1.0)
    with closing(Journal(tmp_path / "journal", {})) as journal:
        counter = kit_script._Counter(journal, "blocks", 0, 10)
        counter.told("loading 3 of 9")
        counter("row:a", 0, Visit(1.0, 1.0, 5, 0, 1.0))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["blocks: 0 of at most 10 visits (loading 3 of 9)", "blocks: 1 of at most 10 visits"]
    monkeypatch.setattr("nas.terminal.progress.PLAIN_INTERVAL_SECONDS", 0.0)
    told = _Told("board")
    for line in lines[:1] * 2:
        told.tell({"line": line})
    told.end()
    assert "measuring blocks on board: 0/10 visits (loading 3 of 9)" in capsys.readouterr().out
