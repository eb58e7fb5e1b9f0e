"""A kit measured over a real ssh: copied once, measured once, whoever asks for it again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .board import Board
from .slow_kit import job, running, starts, steps_made, there, until, write


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


def test_one_kit_asked_for_twice_is_measured_once(board: Board, tmp_path: Path) -> None:
    kit, other = write(tmp_path / "kit", steps=40), tmp_path / "other"
    subprocess.run(["cp", "-r", kit, other], check=True)
    with running(job(board, kit)) as first, running(job(board, other)) as second:
        pass
    assert not first and not second
    assert len(starts(board, kit)) == 1
    assert (kit / "results.json").read_bytes() == (other / "results.json").read_bytes()


def test_two_kits_wait_for_each_other(board: Board, tmp_path: Path, capsys) -> None:
    kits = [write(tmp_path / "one", steps=300), write(tmp_path / "two")]
    with running(job(board, kits[0])) as first:
        until(lambda: starts(board, kits[0]))
        with running(job(board, kits[1])) as second:
            pass
    assert not first and not second
    began = float((there(board, kits[1]) / "starts").read_text().split()[1])
    assert began >= json.loads((kits[0] / "results.json").read_text())["ended"]
    assert f"measures another kit ({there(board, kits[0]).name}, process" in capsys.readouterr().out
