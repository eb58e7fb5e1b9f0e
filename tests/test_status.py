"""`nas.status`: a run that works, ends, fails, is killed, is elsewhere; a folder of them."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nas.runs import progress_file
from nas.runs.progress_file import FILE, read_progress
from nas.runs.run import Run
from nas.status import SILENT_SECONDS, Standing, main
from nas.terminal.progress import phase

CONFIG = {"space": {"name": "fbnet"}, "seed": 0}
WORKER = """
import sys, time
from nas.runs.run import Run
from nas.terminal.progress import phase
with Run.open(sys.argv[1], None, "search", {"seed": 0}) as run, phase("outer", 4, "epoch") as advance:
    run.log("search", 0, loss=1.5, best_validation_top1_percent=61.75)
    advance(1.25, "one and a bit")
    with phase("inner", 2, "step"):
        print("up", flush=True)
        time.sleep(60)
"""


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main([*words])
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file, "LOOK_SECONDS", 0.01)


def changed(run: Path, **values: Any) -> None:
    path = run / FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_seen_from_another_process_until_it_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "runs/a"
    code = WORKER.replace(
        "import sys, time", "import sys, time\nfrom nas.runs import progress_file as f\nf.LOOK_SECONDS = 0.01"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(run)], stdout=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        while worker.stdout.readline() not in ("up\n", ""):
            pass
        until = time.monotonic() + 20
        while len((read_progress(run) or {"phases": []})["phases"]) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        found = said(capsys, f"run={run}")
        for words in ("running", f"process {worker.pid}", "outer", "1/4 epochs and 25% of the next", "one and a bit"):
            assert words in found
        assert "inner" in found and "0/2 steps" in found and "61.75% of the validation" in found and "loss 1.5" in found
        assert "continue it with" not in found
        other = said(capsys, f"run={tmp_path / 'runs'}")
        assert "a running inner 0/2 steps" in other and "checkpoints" not in other
    finally:
        worker.kill()
        worker.communicate()
    changed(run, host="elsewhere")  # as another machine sees the folder
    assert Standing(run).running
    found = said(capsys, f"run={run}")
    assert "state running" in found and f"on elsewhere, process {worker.pid}" in found and "continue it" not in found
    changed(run, updated=time.time() - SILENT_SECONDS - 1)
    found = said(capsys, f"run={run}")
    assert re.search("ended without a word, killed perhaps: the last sign of life is 1 min [0-4]. s old", found), found
    changed(run, host=platform.node())
    found = said(capsys, f"run={run}", "every=0.1")  # what has ended is looked at once
    assert "ended without a word" in found and f"resume={run}" in found


@pytest.mark.parametrize(
    ("error", "ended"),
    [(None, "finished"), (ValueError("no room\nat all"), "failed: no room"), (KeyboardInterrupt(), "interrupted")],
)
def test_how_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception | None, ended: str) -> None:
    run = tmp_path / "run"
    try:
        with Run.open(str(run), None, "search", CONFIG) as opened:
            opened.log("train", 3, loss=0.25)
            with phase("training", 4):
                progress = read_progress(run)
                assert progress is not None and progress["ended"] is None and Standing(run).running
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    standing = Standing(run)
    assert standing.state == ended and not standing.running and standing.innermost() == (None, None, None)
    found = said(capsys, f"run={run}")
    assert "loss 0.25" in found and ("continue it with" in found) == (error is not None)


def test_runs_of_before_and_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "old"
    with Run.open(str(run), None, "search", CONFIG) as opened:
        opened.log("search", 7, loss=0.5)
    (run / FILE).unlink()
    assert "ended after search step 7" in said(capsys, f"run={run}")
    (run / FILE).write_text("{")
    for words, message in (
        ([f"run={run}"], "is damaged"),
        ([f"run={tmp_path / 'none'}"], "holds no run"),
        ([f"run={run}", "every=0"], "every must be at least 0.1"),
        ([], "name the run directory"),
    ):
        with pytest.raises(SystemExit) as status:
            main(words)
        assert status.value.code == 2 and message in " ".join(capsys.readouterr().err.split())
    with Run.open(str(tmp_path / "whole"), None, "search", CONFIG) as opened:
        opened.log("search", 0, loss=0.5)
    (tmp_path / "locked" / "config.yaml").mkdir(parents=True)
    found = said(capsys, f"run={tmp_path}")  # a run that is damaged or cannot be read hides no other
    assert "is damaged" in found and "whole finished" in found and "cannot be used: is a directory" in found


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress_file, "write_json", full)
    with Run.open(str(tmp_path / "run"), None, "search", CONFIG) as opened:
        opened.log("search", 0, loss=1.0)
    assert not (tmp_path / "run" / FILE).exists()
