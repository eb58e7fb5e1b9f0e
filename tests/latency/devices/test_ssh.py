"""A board over a real ssh: its table, whose it is, and found networks that it measures."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from nas.latency.devices.ssh import SshDevice
from nas.latency.effort import Visiting
from nas.latency.tables.table import LatencyTable

from ..test_build import SMALL, SPACE
from .board import Board


def device(board: Board, **changes: object) -> SshDevice:
    address = board.address
    made = SshDevice(address.host, board.port, address.options, address.python, board.folder, name="board")
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


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
        device(board).table(SPACE, folder, effort=SMALL)
    finally:
        stop.set()
        thread.join()
    return folder


def the_table(tables: Path) -> Path:
    [path] = tables.glob("*.json")
    return path


def test_the_table_is_the_boards(board: Board, tables: Path) -> None:
    table = LatencyTable.load(the_table(tables), SPACE, device(board).key)
    assert table.device.name == "board" and table.proof is not None
    about = device(board).about()
    assert {name: table.environment[name] for name in ("cpu", "cores", "onnxruntime", "measuring", "python")} == {
        name: about[name] for name in ("cpu", "cores", "onnxruntime", "measuring", "python")
    }
    assert {path.suffix for path in tables.iterdir()} == {".json", ".lock"}  # no kit is left


def test_a_table_that_is_there_is_used(board: Board, tables: Path) -> None:
    before = the_table(tables).read_bytes()
    table = device(board).table(SPACE, tables, effort=SMALL)
    assert table == LatencyTable.load(the_table(tables)) and the_table(tables).read_bytes() == before
    assert device(board).not_measured(table) is None


def test_what_was_measured_there_serves_a_second_search(board: Board, tables: Path, tmp_path: Path, capsys) -> None:
    table = device(board).table(SPACE, tmp_path, effort=SMALL)
    assert table.rows_ == LatencyTable.load(the_table(tables)).rows_
    assert "copying" not in capsys.readouterr().out
