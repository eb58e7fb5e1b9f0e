"""A whole search for a board, by its commands: the table, the verdict and later derivations are the board's."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from nas.networks.network import build_network
from nas.terminal.configuration.override_text import value_text
from search_spaces.arch import Arch

from .board import Board, free_port

SPACE = ["space.resolution=16", "space.width=0.25", "space.candidates=[k3_e1,k5_e3,skip]"]
SEARCH = ["method=random", "search.trials=2", "search.batch=2", "search.epochs=1", "train.enabled=false", "run_dir=run"]


def reached(board: Board, **changes: object) -> list[str]:
    address = board.address
    settings = {
        "host": address.host,
        "port": board.port,
        "options": list(address.options),
        "python": address.python,
        "folder": board.folder,
        **changes,
    }
    return ["device=ssh", *(f"device.{key}={value_text(value)}" for key, value in settings.items())]


def call(folder: Path, *words: str, cache: str = "cache") -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "NAS_CACHE": str(folder / cache),
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_a_search_meets_its_budget_on_the_board(board: Board, tmp_path: Path) -> None:
    done = call(tmp_path, "nas.search", *SPACE, *SEARCH, *reached(board, name="board"))
    assert done.returncode == 0, done.stdout + done.stderr
    table = json.loads((tmp_path / "run/table.json").read_text())
    assert table["device"]["name"] == "board" and "kit" in table["environment"]
    [kept] = (tmp_path / "latency_tables").glob("*.json")
    assert json.loads(kept.read_text())["digest"] == table["digest"]
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["device"] == "board-onnxruntime-fp32-b1-t1"
    assert 0 < result["measured_latency_ms"] <= result["asked_latency_ms"] and result["budget_met"]

    # what is printed to type next works, and reaches the board; so does the run directory, for who reached it before
    [following] = [line for line in done.stdout.splitlines() if line.startswith("next: python -m nas.derive")]
    words = shlex.split(following.removeprefix("next: python -m "))
    assert "device=ssh" in words
    done = call(tmp_path, *[word for word in words if not word.startswith("budget.")], "out=again")
    assert done.returncode == 0, done.stdout + done.stderr
    derived = json.loads((tmp_path / "again/derived.json").read_text())
    assert derived and all(network["measured_latency_ms"] > 0 for network in derived)
    done = call(tmp_path, "nas.derive", "run=run", "out=reached")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "device: board-onnxruntime-fp32-b1-t1, which run was searched for; another one: device=" in done.stdout
    derived = json.loads((tmp_path / "reached/derived.json").read_text())
    assert derived and all(network["measured_latency_ms"] > 0 for network in derived)
    evaluating = ("arch=run/arch.json", "checkpoint=random.safetensors")
    save_file(build_network(Arch.load(tmp_path / "run/arch.json")).state_dict(), tmp_path / "random.safetensors")
    done = call(tmp_path, "nas.evaluate", *evaluating, "run_dir=evaluated")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "device: 127.0.0.1 over ssh, which run was searched for; another one: device=local" in done.stdout
    found = json.loads((tmp_path / "evaluated/metrics.json").read_text())
    assert found["device"] == "board-onnxruntime-fp32-b1-t1" and found["measured_latency_ms"] > 0

    done = call(tmp_path, "nas.derive", "run=run", "out=unasked", cache="another")
    assert done.returncode == 2 and "run was measured by 127.0.0.1, and a run directory reaches nothing" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "unasked").exists()
    done = call(tmp_path, "nas.derive", "run=run", "out=estimated", "measure=false")
    assert done.returncode == 0, done.stdout + done.stderr

    done = call(tmp_path, "nas.search", "resume=run")
    assert done.returncode == 2 and "give the setting again, resume=run device=ssh device.host=" in done.stderr
    done = call(tmp_path, "nas.search", "resume=run", *reached(board))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("words", [["nas.latency"], pytest.param(["nas.search", *SEARCH], marks=pytest.mark.slow)])
def test_a_board_that_is_not_there_is_said_before_anything_begins(
    board: Board, tmp_path: Path, words: list[str]
) -> None:
    done = call(tmp_path, *words, *SPACE, *reached(board, port=free_port()))
    assert done.returncode == 2 and done.stdout.strip() == ""
    assert done.stderr.startswith("error: 127.0.0.1 cannot be reached: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.rglob("*.json.partial")) and not (tmp_path / "latency_tables").exists()


@pytest.mark.parametrize("host", ["-oProxyCommand=touch owned", "a\nb"])
def test_a_hostile_host_on_the_command_line(tmp_path: Path, host: str) -> None:
    done = call(tmp_path, "nas.latency", "device=ssh", f"device.host={value_text(host)}")
    assert done.returncode == 2 and "device.host must be a machine as ssh takes it" in done.stderr
    assert done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_doctor_names_what_is_wrong(board: Board, tmp_path: Path) -> None:
    done = call(tmp_path, "nas.doctor", *reached(board, python="/nowhere/python3"))
    assert done.returncode == 2
    assert "127.0.0.1 over ssh: there is no interpreter /nowhere/python3" in done.stdout
    assert done.stderr.startswith("error: 1 of ") and done.stderr.count("\n") == 1
