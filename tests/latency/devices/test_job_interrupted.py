"""A kit measured over a real ssh, whatever happens to the connection, the process there, the machine or us."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.latency.devices.remote import job as jobs
from nas.latency.devices.remote.connection import Connection
from nas.latency.devices.remote.faults import Lost

from .board import Board, open_board
from .slow_kit import ENVIRONMENT, job, running, starts, steps_made, there, until, write


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FIRST_WAIT_SECONDS", 0.05)


def test_a_connection_cut_at_random_moments(board: Board, tmp_path: Path, quick: None, capsys) -> None:
    kit = write(tmp_path / "kit", steps=150)
    rng = random.Random(0)
    with running(job(board, kit)) as raised:
        until(lambda: starts(board, kit))
        for _ in range(4):
            time.sleep(rng.uniform(0.0, 0.4))
            until(board.cut)
    assert not raised
    assert len(starts(board, kit)) == 1  # it went on without us
    assert steps_made(board, kit) == [str(i) for i in range(150)]
    out = capsys.readouterr().out
    assert "the connection broke (" in out and "127.0.0.1 is reached again" in out


def test_our_ssh_killed(board: Board, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = write(tmp_path / "kit", steps=60)
    opened: list[Connection] = []
    enter = Connection.__enter__
    monkeypatch.setattr(Connection, "__enter__", lambda self: opened.append(self) or enter(self))
    with running(job(board, kit)) as raised:
        until(lambda: starts(board, kit))
        opened[0].process.kill()
    assert not raised and len(opened) > 1 and len(starts(board, kit)) == 1


def test_a_copy_cut_short_goes_on(board: Board, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = write(tmp_path / "kit", more=bytes(300_000))
    send, sent = Connection.send, []

    def send_less(self: Connection, data: bytes) -> None:
        sent.append(len(data))
        if len(sent) == 4:  # the program, two files, and half of the next
            send(self, data[: len(data) // 2])
            until((there(board, kit) / "graphs" / "1.onnx").exists)
            raise Lost("cut")
        send(self, data)

    monkeypatch.setattr(Connection, "send", send_less)
    job(board, kit).run()
    assert (kit / "results.json").exists()
    assert sum(size > 300_000 for size in sent) == 4  # what had arrived was not sent again
    assert {path.stat().st_size for path in (there(board, kit) / "graphs").iterdir()} == {301_000}


def test_the_process_there_killed(board: Board, tmp_path: Path, capsys) -> None:
    kit = write(tmp_path / "kit", steps=60)
    with running(job(board, kit)) as raised:
        until(lambda: starts(board, kit) and len(steps_made(board, kit)) > 10)
        os.kill(starts(board, kit)[0], signal.SIGKILL)
    assert not raised and len(starts(board, kit)) == 2
    assert steps_made(board, kit) == [str(i) for i in range(60)]
    assert "ended early (signal 9) and is continued" in capsys.readouterr().out


def test_a_machine_that_starts_anew(tmp_path: Path, quick: None, capsys) -> None:
    board = open_board(tmp_path / "board")
    try:
        kit = write(tmp_path / "kit", steps=60)
        with running(job(board, kit)) as raised:
            until(lambda: starts(board, kit) and len(steps_made(board, kit)) > 10)
            board.stop()
            os.kill(starts(board, kit)[0], signal.SIGKILL)
            time.sleep(0.3)
            assert not (kit / "results.json").exists()
            board.start()
        assert not raised and len(starts(board, kit)) == 2
        assert steps_made(board, kit) == [str(i) for i in range(60)]
    finally:
        board.stop()


def test_a_machine_that_stays_away_is_given_up(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_SECONDS", 0.5)
    board = open_board(tmp_path / "board")
    kit = write(tmp_path / "kit", steps=60)
    with running(job(board, kit)) as raised:
        until(lambda: starts(board, kit))
        board.stop()
    assert "was not reached again for" in str(raised[0]) and "give the same command again" in str(raised[0])
    assert isinstance(raised[0], ValueError) and not (kit / "results.json").exists()
    board.start()
    try:
        job(board, kit).run()
        assert len(starts(board, kit)) == 1  # it had gone on by itself
    finally:
        board.stop()


def test_ctrl_c_leaves_it_measuring(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit", steps=200)
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # else ignored behind `&`
        "from pathlib import Path; from nas.latency.devices.remote.job import Job\n"
        "from nas.latency.devices.remote.address import Address\n"
        f"board = Address('127.0.0.1', {board.port}, {board.address.options!r}, {board.address.python!r})\n"
        f"Job(board, {board.folder!r}, Path({str(kit)!r}), {ENVIRONMENT!r}).run()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: starts(board, kit) and len(steps_made(board, kit)) > 20)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    [pid] = starts(board, kit)
    assert "measures on by itself, and the same command takes it up again" in out and f"kill {pid}" in out
    assert errors.strip().endswith("KeyboardInterrupt")
    os.kill(pid, 0)  # it is there
    job(board, kit).run()
    assert starts(board, kit) == [pid]
