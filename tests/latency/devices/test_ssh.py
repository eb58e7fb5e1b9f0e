"""A board over a real ssh: its table, whose it is, and found networks that it measures."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from nas.latency.effort import Visiting
from nas.latency.tables.table import LatencyTable

from ..test_build import SMALL, SPACE
from .board import Board
from .kinds import reached


@pytest.fixture(scope="module")
def tables(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the board's table, whose measuring there was killed, and whose connection was cut, on the way."""
    folder = tmp_path_factory.mktemp("tables")
    stop = threading.Event()

    def disturb() -> None:
        """Twice each, at moments of chance, from when it measures."""
        rng = random.Random(0)
        running = Path(board.folder) / "running.json"
        disturbances = ["cut", "kill", "cut", "kill"]
        while disturbances and not stop.wait(rng.uniform(0.05, 0.3)):
            pid = json.loads(running.read_text() or "{}").get("pid") if running.exists() else None
            if pid is None:
                continue
            if disturbances[-1] == "cut":
                board.cut()
            else:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            disturbances.pop()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        reached(board).table(SPACE, folder, effort=SMALL)
    finally:
        stop.set()
        thread.join()
    return folder


def the_table(tables: Path) -> Path:
    [path] = tables.glob("*.json")
    return path


def test_the_table_is_the_boards(board: Board, tables: Path) -> None:
    table = LatencyTable.load(the_table(tables), SPACE, reached(board).key)
    assert table.device.name == "board" and table.proof is not None
    about = reached(board).about()
    assert {name: table.environment[name] for name in ("cpu", "cores", "onnxruntime", "measuring", "python")} == {
        name: about[name] for name in ("cpu", "cores", "onnxruntime", "measuring", "python")
    }
    assert {path.suffix for path in tables.iterdir()} == {".json", ".lock"}  # no kit is left


def test_a_table_that_is_there_is_used(board: Board, tables: Path) -> None:
    before = the_table(tables).read_bytes()
    table = reached(board).table(SPACE, tables, effort=SMALL)
    assert table == LatencyTable.load(the_table(tables)) and the_table(tables).read_bytes() == before
    assert reached(board).not_measured(table) is None


def test_what_was_measured_there_serves_a_second_search(board: Board, tables: Path, tmp_path: Path, capsys) -> None:
    table = reached(board).table(SPACE, tmp_path, effort=SMALL)
    assert table.rows_ == LatencyTable.load(the_table(tables)).rows_
    assert "copying" not in capsys.readouterr().out


def test_found_networks_are_measured_there(board: Board, tables: Path) -> None:
    found, kits = reached(board), Path(board.folder) / "kits"
    before = set(kits.iterdir())
    archs = [SPACE.decode([1] * 22), SPACE.decode([2] * 22), SPACE.decode([1] * 22)]
    times = found.measure(archs, LatencyTable.load(the_table(tables)))
    assert times[0] == times[2] and times[0].latency_ms > times[1].latency_ms > 0
    assert set(kits.iterdir()) == before  # theirs is gone


def renamed(folder: Path, tmp_path: Path, **environment: object) -> Path:
    """A folder with the table of `folder`, said to be measured in another environment."""
    table = LatencyTable.load(the_table(folder))
    changed = dataclasses.replace(table, environment={**table.environment, **environment})
    return changed.save(tmp_path / the_table(folder).name)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"cpu": "Z80"}, 'cpu is "Z80", asked is .*; give the board a name of its own, device.name='),
        ({"cores": 999}, "cores is 999, asked is .*; give the board a name of its own"),
        ({"onnxruntime": "1.0"}, 'onnxruntime is "1.0", asked is .*; measure it anew: .*refresh=true'),
        ({"imported": {"file": "lut.json"}}, "it was imported from lut.json; give the board a name of its own"),
    ],
)
def test_a_table_of_another_machine_or_version(
    board: Board, tables: Path, tmp_path: Path, environment: dict, message: str
) -> None:
    path = renamed(tables, tmp_path, **environment)
    before = path.read_bytes()
    found = reached(board)
    for refresh in (False, True):
        if refresh and "refresh" in message:
            continue  # it may be replaced by the board itself
        with pytest.raises(ValueError, match=message) as caught:
            found.table(SPACE, tmp_path, effort=SMALL, refresh=refresh)
        assert "\n" not in str(caught.value) and path.read_bytes() == before
    with pytest.raises(ValueError, match=message):
        found.not_measured(LatencyTable.load(path))


def test_a_newer_runtime_measures_anew_on_request(board: Board, tables: Path, tmp_path: Path) -> None:
    path = renamed(tables, tmp_path, onnxruntime="1.0")
    table = reached(board).table(SPACE, tmp_path, effort=SMALL, refresh=True)
    assert LatencyTable.load(path) == table and table.environment["onnxruntime"] != "1.0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": None}, "device=ssh needs the machine: device.host="),
        ({"host": "-oProxyCommand=x"}, "device.host must be a machine"),
        ({"name": "local"}, "`local` is the machine we run on"),
        ({"folder": "a\nb"}, "device.folder must be a folder"),
        ({"name": "a/b"}, "device name must be letters"),
        ({"threads": 0}, "device threads must be"),
    ],
)
def test_settings_that_cannot_be(board: Board, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reached(board, **changes)


def test_what_is_not_offered_is_said_before_anything_is_measured(board: Board, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not measure dtype=bf16; one of fp32, int8"):
        reached(board, dtype="bf16").table(SPACE, tmp_path)
    with pytest.raises(ValueError, match="pin=true binds measuring to a core of this machine"):
        reached(board).table(SPACE, tmp_path, visiting=Visiting(pin=True))
    assert not list(tmp_path.iterdir())
