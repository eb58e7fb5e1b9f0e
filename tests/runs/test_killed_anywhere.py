"""Trainings and searches that signals end at any moment, over and over: nothing is lost but an interval."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nas.runs import checkpoint
from nas.runs.keeping.keeper import step_file
from tests.runs.killed_runs import command, damage, same
from tests.runs.test_interrupted import SMALL, outcome

INTERVAL_SECONDS, SLACK_SECONDS = 0.6, 2.0  # the slack: a step, and writing, on a busy machine
KEPT = [f"checkpoint_minutes={INTERVAL_SECONDS / 60}"]
TRAIN = ["arch=fbnet_a", "data=digits", "recipe.epochs=6", "recipe.mixup=0.2", "recipe.ema_decay=0.9"]
SEARCH = [
    "space=fbnet",
    "method=dnas",
    *SMALL,
    "latency=on",
    "references.names=[]",
    "derive.contest=0",
    "tables=tables",
]
COMMANDS = {
    "nas.train": ([*TRAIN, "+recipe.drop_rate=0.1"], "train.pt", 12),
    "nas.search": (SEARCH, "search.pt", 12),
}
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGUSR1: 138}


def begin(folder: Path, module: str, *settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *settings],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def newest(run: Path) -> float:
    """When a checkpoint of `run` was written last, seconds."""
    return max((file.stat().st_mtime for file in (run / "checkpoints").glob("*.pt")), default=0.0)


def weights(run: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("module", COMMANDS)
def test_killed_anywhere(module: str, tmp_path: Path) -> None:
    """At least so many random kills, each at a random moment and by a random signal; then to the end, undisturbed."""
    settings, name, least = COMMANDS[module]
    rng = random.Random()
    command(tmp_path, module, *settings, *KEPT, "run_dir=whole")  # measures the table, which both use
    began = time.time()
    command(tmp_path, module, *settings, *KEPT, "run_dir=second")
    took, part = time.time() - began, tmp_path / "part"
    kills: dict[str, int] = {}
    inside = 0
    while sum(kills.values()) < least:
        resumes = (part / "config.yaml").exists()
        process = begin(tmp_path, module, *(["resume=part"] if resumes else [*settings, *KEPT, "run_dir=part"]))
        number, before = rng.choice(list(STATUS)), newest(part)
        try:
            process.wait(rng.uniform(0.2, 0.9) * took)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        killed = time.time()
        text, _ = process.communicate(timeout=120)
        if process.returncode == 0:  # done: begin another one
            assert weights(part) == weights(tmp_path / "whole")
            shutil.rmtree(part)
            continue
        assert process.returncode in (STATUS[number], -number), text  # the latter: before the command was there
        kills[number.name] = kills.get(number.name, 0) + 1
        if process.returncode in (143, 138) and (part / "config.yaml").exists():
            assert f"continue with: python -m {module} resume=part" in text, text
        is_inside = any(step_file(part / "checkpoints" / file).exists() for file in (name, "train.pt"))
        inside += is_inside
        if is_inside and before < newest(part):  # it was in the steps of an epoch, and had kept one of them
            assert killed - newest(part) < INTERVAL_SECONDS + SLACK_SECONDS, text
        if rng.random() < 0.2:
            for file in (part / "checkpoints").glob("*.step.pt"):
                damage(file)
    command(tmp_path, module, "resume=part") if part.exists() else None
    print(f"{module}: {kills}, {inside} of them inside of an epoch")
    if not part.exists():
        command(tmp_path, module, *settings, *KEPT, "run_dir=part")
    whole = tmp_path / "whole"
    assert weights(part) == weights(whole) and weights(whole) and inside
    assert same(*(checkpoint.load(run / "checkpoints" / name) for run in (whole, part)))
    if module == "nas.search":
        assert outcome(part) == outcome(whole)
