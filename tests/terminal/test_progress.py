"""Progress: a bar with the time left on a terminal, plain lines elsewhere, and tables that line up."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from nas.terminal import progress
from nas.terminal.progress import format_seconds, log, phase, table
from nas.terminal.progress.columns import columns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_plain_lines_and_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with phase("measuring blocks", total=100, unit="block", completed=50) as advance:
        for _ in range(50):
            clock.now += 1.0
            advance(1, note="3.2 ms [x]")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "measuring blocks: 60/100 blocks, about 40 s left (3.2 ms [x])"
    assert len(lines) == 5
    assert lines[-1] == "measuring blocks: 100/100 blocks in 50 s"


def test_the_time_left_is_judged_from_when_units_began(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a table's first visit, after minutes of preparations: "1/165 visits, about 1 h 47 min left"."""
    with phase("timing whole networks", total=101, unit="visit", completed=1) as advance:
        clock.now += 200.0
        advance(0, "loading 9 of 9")
        for _ in range(2):
            clock.now += 5.0
            advance(1, "visiting")
        clock.now += 2.0
        advance(0, "loading 1 of 9")  # of the next process: the pace of visits is what it is with those
        advance(98)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "timing whole networks: 1/101 visits (loading 9 of 9)",
        "timing whole networks: 3/101 visits, about 8 min 10 s left (visiting)",
    ]
    assert lines[-1] == "timing whole networks: 101/101 visits in 3 min 32 s"


def test_unknown_total_and_failure(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with phase("reading") as advance:
        clock.now += 11
        advance(3)
    assert capsys.readouterr().out.splitlines() == ["reading: 3", "reading: 3 in 11 s"]
    with phase("looking"):  # nothing is counted
        clock.now += 4
    assert capsys.readouterr().out == "looking: 4.0 s\n"
    with pytest.raises(ValueError, match="stop"), phase("reading", 5):
        raise ValueError("stop")
    assert capsys.readouterr().out == ""


def test_one_of_an_unknown_number_is_singular(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """A search measures as many networks as it takes, up to a limit: `1/3 networks` would look broken off."""
    for count in (1, 2):
        with phase("measuring", None, "network") as advance:
            for _ in range(count):
                advance()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("measuring: 1 network in ") and second.startswith("measuring: 2 networks in ")


def test_short_inner_phases_say_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with phase("outer", 2) as advance:
        for _ in range(2):
            with phase("inner", 1) as inner:
                inner()
            advance()
    assert capsys.readouterr().out.splitlines() == ["outer: 2/2 in 0.0 s"]


def test_a_long_epoch_shows_what_is_done_of_it(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with phase("searching", 3, "epoch") as advance:
        for share in (0.25, 0.25, 0.5):
            clock.now += 60
            advance(share)
        clock.now += 540
        advance(2)
    assert capsys.readouterr().out.splitlines() == [
        "searching: 0/3 epochs and 25% of the next, about 11 min 00 s left",
        "searching: 0/3 epochs and 50% of the next, about 10 min 00 s left",
        "searching: 1/3 epochs, about 6 min 00 s left",
        "searching: 3/3 epochs in 12 min 00 s",
    ]


@pytest.mark.parametrize("steps", [7, 22, 83, 997])
def test_parts_of_an_epoch_add_up_to_it(steps: int, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with phase("searching", 6, "epoch") as advance:
        for _ in range(4):
            seen = 0.0
            for step in range(1, steps + 1):
                advance(step / steps - seen)
                seen = step / steps
    assert capsys.readouterr().out.splitlines() == ["searching: 4/6 epochs in 0.0 s"]


def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By the innermost phase, with nothing reported; afterwards nothing speaks any more."""
    monkeypatch.setattr(progress, "SILENCE_SECONDS", 0.1)
    threads = threading.active_count()
    with phase("outer", 4, "network") as advance:
        advance(2)
        with phase("inner", 9):
            time.sleep(1.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3 and lines[0].startswith("inner: 0/9, 0.") and lines[0].endswith("s so far")
    time.sleep(0.2)
    assert capsys.readouterr().out == "" and threading.active_count() <= threads


def test_at_80_columns_a_bar_can_be_read() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    bars = Progress(*columns(80), console=console, expand=True)
    note = "loss 1.234, expected 0.4567 ms and much more than has room"
    bars.add_task("training the network", total=1200, completed=345, unit="step", note=note)
    console.print(bars.get_renderable())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1 and len(lines[0]) <= 80
    for words in ("training the network", " 345/1200", "step", "left", "loss 1.234"):
        assert words in lines[0]


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_signs_that_an_encoding_lacks_end_nothing(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(paper, encoding="latin-1", errors=errors))
    table("networks", ("name", "ms"), [("é", None)])
    log("written: 猫")
    text = paper.getvalue().decode("latin-1")
    assert "é" in text and "written: ?" in text and "–" not in text


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    """In a process whose console believes in a terminal: nested phases share one display, also after an error."""
    program = (
        "from nas.terminal.progress import phase, log\n"
        "with phase('outer', 2, 'step') as advance:\n"
        "    log('a line [x]')\n"
        "    with phase('inner', 1) as inner: inner(1, 'note [y]')\n"
        "    advance(2)\n"
        "try:\n    with phase('fails', 2): raise ValueError\n"
        "except ValueError: log('after')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    for words in ("outer", "2/2", "a line [x]", "after"):
        assert words in done.stdout


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    table("zoo", ("name", "M"), [("a [b]", 1.5), ("c", None), ("d", 22.25)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "zoo" and "name" in lines[2]
    assert lines[4:7] == ["│ a [b] │   1.5 │", "│ c     │     – │", "│ d     │ 22.25 │"]
    log("[bold]")
    assert capsys.readouterr().out == "[bold]\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
