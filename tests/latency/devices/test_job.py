"""A kit measured over a real ssh, whatever happens to the connection, the process there, the disk or the machine.

The kit of these tests measures nothing: it writes a journal, a line a step, slowly, and goes on where it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.latency.devices.remote import job as jobs
from nas.latency.devices.remote.connection import Connection
from nas.latency.devices.remote.faults import Lost
from nas.latency.devices.remote.job import Job
from nas.latency.measuring.journal import seal

from .board import Board, open_board

ENVIRONMENT = {"cpu": "Z80", "cores": 1}
SCRIPT = """
import hashlib, json, os, time
from pathlib import Path
kit = json.loads(Path("kit.json").read_text())
with open("starts", "a") as file:
    print(os.getpid(), time.time(), file=file)
with open("results.jsonl", "a") as journal:
    done = len(Path("results.jsonl").read_text().splitlines())
    while done < kit["steps"]:
        time.sleep(0.02)
        print(done, file=journal, flush=True)
        done += 1
        print(f"blocks: {done} of at most {kit['steps']} visits", flush=True)
results = {"kit": kit["id"], "environment": kit["environment"], "ended": time.time()}
text = json.dumps(results, sort_keys=True, separators=(",", ":"))
results["digest"] = hashlib.sha256(text.encode()).hexdigest()[:32]
Path("partial").write_text(json.dumps(results))
Path("partial").rename("results.json")
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "FIRST_WAIT_SECONDS", 0.05)


def write(folder: Path, steps: int = 5, script: str = SCRIPT, more: bytes = b"") -> Path:
    """A kit of so many steps of 0.02 s."""
    folder.mkdir()
    kit = {"steps": steps, "environment": ENVIRONMENT, "folder": str(folder)}
    (folder / "kit.json").write_text(json.dumps({**kit, "id": seal(kit, "id")}))
    (folder / "measure.py").write_text(script)
    (folder / "graphs").mkdir()
    for i in range(3):
        (folder / "graphs" / f"{i}.onnx").write_bytes(bytes([i]) * 1000 + more)
    return folder


def job(board: Board, kit: Path, **more: object) -> Job:
    return dataclasses.replace(Job(board.address, board.folder, kit, ENVIRONMENT), **more)  # type: ignore[arg-type]


def there(board: Board, kit: Path) -> Path:
    return Path(board.folder) / "kits" / json.loads((kit / "kit.json").read_text())["id"]


def starts(board: Board, kit: Path) -> list[int]:
    """The processes that measured it."""
    with contextlib.suppress(FileNotFoundError):
        return [int(line.split()[0]) for line in (there(board, kit) / "starts").read_text().splitlines()]
    return []


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextlib.contextmanager
def running(job: Job) -> Iterator[list[BaseException]]:
    """`job` in a thread, which is waited for; the list holds what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            job.run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield raised
    thread.join(30)
    assert not thread.is_alive()


def steps_made(board: Board, kit: Path) -> list[str]:
    return (there(board, kit) / "results.jsonl").read_text().splitlines()


def test_a_kit_goes_there_once_and_its_results_come_back(board: Board, tmp_path: Path, capsys) -> None:
    kit = write(tmp_path / "kit", steps=20)
    job(board, kit).run()
    results = (kit / "results.json").read_bytes()
    assert json.loads(results)["kit"] == there(board, kit).name
    out = capsys.readouterr().out
    assert "copying the kit to 127.0.0.1: 5/5 files" in out
    assert "measuring blocks on 127.0.0.1: 20/20 visits" in out
    assert not list(there(board, kit).rglob("*.partial"))
    (kit / "results.json").unlink()
    job(board, kit).run()
    assert (kit / "results.json").read_bytes() == results
    assert len(starts(board, kit)) == 1 and "copying" not in capsys.readouterr().out


def test_what_is_stale_or_asked_anew_is_measured_again(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit")
    job(board, kit).run()
    job(board, kit, anew=True).run()
    assert len(starts(board, kit)) == 2 and len(steps_made(board, kit)) == 5
    job(board, kit).run()
    assert len(starts(board, kit)) == 2
    job(board, kit, environment={"cpu": "Z81", "cores": 1}).run()
    assert len(starts(board, kit)) == 3


def test_a_kit_that_is_forgotten_leaves_nothing(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit")
    job(board, kit, forget=True).run()
    assert (kit / "results.json").exists() and not there(board, kit).exists()


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


def test_one_kit_asked_for_twice_is_measured_once(board: Board, tmp_path: Path) -> None:
    kit, other = write(tmp_path / "kit", steps=40), tmp_path / "other"
    subprocess.run(["cp", "-r", kit, other], check=True)
    with running(job(board, kit)) as first, running(job(board, other)) as second:
        pass
    assert not first and not second
    assert len(starts(board, kit)) == 1
    assert (kit / "results.json").read_bytes() == (other / "results.json").read_bytes()


def test_two_kits_wait_for_each_other(board: Board, tmp_path: Path, capsys) -> None:
    kits = [write(tmp_path / "one", steps=150), write(tmp_path / "two")]
    with running(job(board, kits[0])) as first:
        until(lambda: starts(board, kits[0]))
        with running(job(board, kits[1])) as second:
            pass
    assert not first and not second
    began = float((there(board, kits[1]) / "starts").read_text().split()[1])
    assert began >= json.loads((kits[0] / "results.json").read_text())["ended"]
    assert f"measures another kit ({there(board, kits[0]).name}, process" in capsys.readouterr().out


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


FULL = "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'results.jsonl')\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys\nsys.exit('died')", "ended twice without getting further .status 1: died.; see run.log"),
        ("import sys\nprint('Error: no', file=sys.stderr)\nsys.exit(2)", "127.0.0.1 refuses to measure: no$"),
        ("import os\nos.kill(os.getpid(), 11)", "signal 11: it said nothing"),
        (FULL, "the disk of 127.0.0.1 is full .*device.folder="),
    ],
)
def test_measuring_that_cannot_be(board: Board, tmp_path: Path, script: str, message: str) -> None:
    kit = write(tmp_path / "kit", script=script)
    with pytest.raises(ValueError, match=message) as caught:
        job(board, kit).run()
    assert "\n" not in str(caught.value)
    assert not (kit / "results.json").exists()


def test_a_disk_that_fills_up_while_the_kit_is_copied(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit", more=bytes(100_000))
    (there(board, kit) / "graphs").mkdir(parents=True)
    (there(board, kit) / "graphs" / "2.onnx.partial").symlink_to("/dev/full")
    with pytest.raises(ValueError, match="the disk of 127.0.0.1 is full .*device.folder="):
        job(board, kit).run()
    assert not there(board, kit).exists()  # nothing of it takes room


def test_a_disk_without_room_is_told_before(board: Board, tmp_path: Path) -> None:
    """On a file system of one megabyte, where one can be made."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        kit = write(tmp_path / "kit", more=bytes(1 << 20))
        with pytest.raises(ValueError, match=r"is full .*3.0 MB are needed, 1.0 MB are free"):
            job(board, kit, folder=str(small)).run()
        assert not list(small.rglob("*.onnx"))
    finally:
        subprocess.run(["umount", small], check=True)


def test_results_of_another_kit_are_refused(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit", script=SCRIPT.replace('{"kit": kit["id"]', '{"kit": "abc"'))
    with pytest.raises(ValueError, match="are damaged or of another kit"):
        job(board, kit).run()
    assert not (kit / "results.json").exists()


def test_nothing_reached_at_first_is_said_at_once(board: Board, tmp_path: Path) -> None:
    kit = write(tmp_path / "kit")
    with pytest.raises(ValueError, match="cannot be reached"):
        job(board, kit, address=board.using(port=1)).run()
