"""A measuring process that a signal ends: who it was and what it was at is told, and what it measured is kept."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nas.latency.build import build_table
from nas.latency.device import Device
from nas.latency.kits.of_space import write_kit
from nas.latency.measuring.journal import Journal
from nas.latency.measuring.processes import module_script
from nas.latency.measuring.processes.bench import Bench
from nas.latency.measuring.processes.ended import Ended, named, signal_of
from nas.latency.measuring.processes.sampling import Request, ask, request
from nas.latency.measuring.visits import Visit
from nas.terminal.error_lines import USER_ERROR, report
from tests.processes import FORKED

from .devices.kinds import tiny
from .test_build import SMALL

# Answers requests with visits of 1 ms, and dies by the signal of its argument as soon as it times `net:bad`.
MORTAL = """
import os, sys
from nas.latency.measuring.processes.sampling import answer_all
def load(asked, entry):
    def workload(calls):
        if entry["key"] == "net:bad":
            sys.stderr.write("noise\\nlast words\\n")
            sys.stderr.flush()
            os.kill(os.getpid(), int(sys.argv[1]))
        return [1.0] * calls
    return workload
answer_all(load)
"""


def asked(*keys: str, process: int = 0) -> Request:
    common = {"seed": 0, "device": {"runtime": "litert"}, "references": {"6m": {"key": "reference:6m"}}}
    entries = [{"key": key, "rung": "6m", "params": 1} for key in keys]
    return request(common, entries, process, {key: [process] for key in keys}, 1.0)


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGSEGV, "a fault of its runtime: another version of that"), (signal.SIGKILL, "want of memory")],
)
def test_who_it_was_and_what_it_was_at(number: int, why: str) -> None:
    made: list[tuple[str, int, Visit]] = []
    with pytest.raises(Ended, match=why) as ended:
        ask(
            [sys.executable, "-c", MORTAL, str(int(number))],
            [asked("net:good"), asked("net:good", "net:bad", process=1)],
            lambda *visit: made.append(visit),
        )
    assert [(key, turn) for key, turn, _ in made] == [("net:good", 0)]
    told = str(ended.value)
    assert told.startswith(f"the process that measures under litert was ended by {signal.Signals(number).name}, ")
    assert told.endswith("it was running the network bad; the last it said: last words") and "\n" not in told


def test_words() -> None:
    assert [signal_of(status) for status in (-9, 139, 0, 1, 2, 255)] == [9, 11, None, None, None, None]
    assert named('row:["x"]') == 'the block ["x"]' and named("reference:6m") == "the reference network 6m"
    assert named("file") == "the file"
    assert str(Ended("it", 4)) == (
        "it was ended by SIGILL, as its runtime is built for another processor: install a build for this one"
    )
    assert "it was ended by signal 63, a fault" in str(Ended("it", 63)).replace("SIGRTMAX-1", "signal 63")


def dying(way: str) -> None:
    """A process that forks others, the first of which ends as `way` says."""

    def answer(*given: Any) -> None:
        if way == "itself":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise Ended("the measuring process of another interpreter", signal.SIGSEGV, said="last words")

    module_script._answer = answer
    sys.stdin = io.StringIO(
        json.dumps([{"modules": [], "device": Device().to_request(), "references": {}, "entries": []}])
    )
    module_script.main()


@pytest.mark.skipif(not module_script.FORKS, reason="this system forks no processes")
@pytest.mark.parametrize("way", ["itself", "another interpreter"])
def test_one_that_was_forked_is_told_of_by_its_parent(way: str) -> None:
    process = FORKED.Process(target=dying, args=(way,))
    process.start()
    process.join()
    assert signal_of(process.exitcode or 0) == signal.SIGSEGV


def test_a_table_keeps_what_was_measured_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(self: Bench, requests: list[Request], record: Any, pin: bool = False, told: Any = None) -> bool:
        record(requests[0]["entries"][0]["key"], 0, Visit(1.0, 1.0, 5, 0, 1.0))
        raise Ended("the process that measures under litert", signal.SIGSEGV, "running the block x")

    monkeypatch.setattr(Bench, "run", run)
    with pytest.raises(Ended) as ended:
        build_table(tiny(), Device(), tmp_path, effort=SMALL)
    (journal,) = tmp_path.glob("*.jsonl")
    header = json.loads(journal.read_text().splitlines()[0])
    del header["seal"]
    with closing(Journal(journal, header)) as kept:
        assert [list(turns) for turns in kept.visits.values()] == [[0]]
    assert report(ended.value, "latency", [], debug=False) == USER_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert f"what was measured until then is kept in {journal}: the same command goes on from there; it was run" in line


def test_a_kit_says_so_and_may_be_started_again(tmp_path: Path) -> None:
    """Over ssh it is, as its exit status is not that of a mistake."""
    kit = write_kit(tiny(), Device(name="board"), tmp_path / "kit", effort=SMALL)
    (kit / "onnxruntime.py").write_text(
        "import os, signal\n__version__ = '1.0'\ndef SessionOptions():\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "measure.py"], cwd=kit, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: the process that measures under onnxruntime was ended by SIGSEGV, a fault of its")
    assert "kept: start this again to go on from there; it was loading the reference network " in line
    shutil.rmtree(kit)
