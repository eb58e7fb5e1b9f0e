"""Commands that `torchrun` starts: a killed process ends them all, and two agents at two addresses are two machines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nas.runs.run import read_metrics
from tests.search.test_elastic_search import ELASTIC
from tests.train.several.pieces import ARCH

LAUNCHER = [sys.executable, "-m", "torch.distributed.run"]
TWO = ["--standalone", "--nproc-per-node", "2"]
TRAINING = ["-m", "nas.train", "arch=arch.json", "recipe.epochs=8", "accelerator=cpu"]
STOPS_WITHIN_SECONDS = 60


def begun(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    (folder / "arch.json").write_text(ARCH.to_json())
    return subprocess.Popen(
        [*LAUNCHER, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(arguments: list[str], folder: Path) -> str:
    process = begun(arguments, folder)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out


def weights(folder: Path, run: str) -> bytes:
    return (folder / run / "model" / "model.safetensors").read_bytes()


def killed(arguments: list[str], folder: Path, run: str) -> None:
    """Kill the second process once two epochs are done; the others end, and say once how to go on."""
    process = begun(arguments, folder)
    while not (folder / run / "metrics.jsonl").exists() or len(read_metrics(folder / run)) < 2:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    (second,) = (one for one in psutil.Process(process.pid).children() if one.environ().get("RANK") == "1")
    second.kill()
    _, err = process.communicate(timeout=STOPS_WITHIN_SECONDS)
    assert process.returncode != 0 and err.count(f"resume={run}") == 1, err


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """By as many processes to the last bit; by one as well, and that is said."""
    killed([*TWO, *TRAINING, "run_dir=cut"], tmp_path, "cut")
    (tmp_path / "cut").rename(tmp_path / "kept")
    subprocess.run(["cp", "-r", "kept", "cut"], cwd=tmp_path, check=True)
    subprocess.run(["cp", "-r", "kept", "alone"], cwd=tmp_path, check=True)
    ended([*TWO, "-m", "nas.train", "resume=cut"], tmp_path)
    ended([*TWO, *TRAINING, "run_dir=whole"], tmp_path)
    assert weights(tmp_path, "cut") == weights(tmp_path, "whole")
    alone = subprocess.run(
        [sys.executable, "-m", "nas.train", "resume=alone"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert alone.returncode == 0, alone.stderr
    assert "the checkpoint is of 2 processes, training goes on by 1" in alone.stdout
    assert weights(tmp_path, "alone") != weights(tmp_path, "whole")
    top1 = [json.loads((tmp_path / run / "result.json").read_text())["top1_percent"] for run in ("alone", "whole")]
    assert min(top1) > 80


@pytest.mark.slow
def test_two_agents_train_as_two_machines(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "7"]
    where += ["--rdzv-endpoint", f"127.0.0.1:{port}"]
    agents = [
        begun([*where, "--local-addr", address, *TRAINING, "run_dir=both"], tmp_path)
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    said = [agent.communicate(timeout=200) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert sorted("result of both" in out for out, _ in said) == [False, True]
    ended([*TWO, *TRAINING, "run_dir=one"], tmp_path)
    assert weights(tmp_path, "both") == weights(tmp_path, "one")


@pytest.mark.slow
def test_an_elastic_search_is_shared_from_its_supernet_to_its_network(tmp_path: Path) -> None:
    """One that is killed while its supernet trains goes on to the same bits."""
    settings = ["-m", "nas.search", *ELASTIC, "budget.macs=300000", "train.epochs=1", "accelerator=cpu"]
    settings[settings.index("pretraining.recipe.epochs=2")] = "pretraining.recipe.epochs=4"
    ended([*TWO, *settings, "run_dir=whole"], tmp_path)
    killed([*TWO, *settings, "run_dir=cut"], tmp_path, "cut")
    ended([*TWO, "-m", "nas.search", "resume=cut"], tmp_path)
    archs = [(tmp_path / run / "arch.json").read_text() for run in ("whole", "cut")]
    assert archs[0] == archs[1] and weights(tmp_path, "whole") == weights(tmp_path, "cut")
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "cut")]
    assert results[0]["top1_percent"] == results[1]["top1_percent"]
