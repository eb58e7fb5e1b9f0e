"""Trainings and searches that signals end at any moment, over and over: nothing is lost but an interval."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from nas.runs import checkpoint
from nas.runs.keeping.keeper import step_file
from tests.processes import FORKED
from tests.runs.killed_runs import damage, same
from tests.runs.test_killed_in_every_phase import SEARCHES, little, measured, outcome

INTERVAL_SECONDS, SLACK_SECONDS = 0.3, 2.0  # the slack: a step, and writing, on a busy machine
TRAIN = ["arch=fbnet_96_035_1", "data=digits", "recipe.epochs=4"]
TRAIN += ["+recipe.mixup=0.2", "+recipe.ema_decay=0.9", "+recipe.drop_rate=0.1"]
SEARCH = [*SEARCHES["dnas"], "method.mode=hard", "tables=tables", "budget.tolerance=1000", "budget.rounds=1"]
COMMANDS = {"train": (TRAIN, "train.pt"), "search": (SEARCH, "search.pt")}
LEAST = 12  # kills of each
STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGUSR1: 138, signal.SIGHUP: 129}


def run_here(folder: str, name: str, settings: list[str]) -> None:
    """A command in this process, which is there to be killed; times of networks are stand-ins."""
    import sys

    import torch

    import nas.latency.build
    import nas.latency.measuring.networks
    from nas.search.__main__ import main as search
    from nas.train.__main__ import main as train

    nas.latency.build.build_table = little
    nas.latency.measuring.networks.measure_networks = measured  # type: ignore[assignment]
    torch.set_num_threads(1)
    os.chdir(folder)
    with open("said.txt", "w", encoding="utf-8") as said:
        sys.stdout = sys.stderr = said
        {"search": search, "train": train}[name](settings)


def begin(folder: Path, name: str, *settings: str) -> BaseProcess:
    process = FORKED.Process(target=run_here, args=(str(folder), name, list(settings)))
    process.start()
    return process


def whole(folder: Path, name: str, *settings: str) -> float:
    """The seconds that such a command takes."""
    began = time.time()
    process = begin(folder, name, *settings)
    process.join()
    assert process.exitcode == 0, (folder / "said.txt").read_text()
    return time.time() - began


def newest(run: Path) -> float:
    """When a checkpoint of `run` was written last, seconds."""
    return max((file.stat().st_mtime for file in (run / "checkpoints").glob("*.pt")), default=0.0)


def weights(run: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_anywhere(name: str, tmp_path: Path) -> None:
    """Random kills, each at a random moment and by a random signal; then to the end, undisturbed.

    Prints how many there were of each, and how many left an epoch behind that was under way.
    """
    settings, file = COMMANDS[name]
    settings = [*settings, f"checkpoint_minutes={INTERVAL_SECONDS / 60}"]
    rng, kept = random.Random(), tmp_path / "part" / "checkpoints"
    whole(tmp_path, name, *settings, "run_dir=first")  # leaves the table that the others share
    took, part = whole(tmp_path, name, *settings, "run_dir=whole"), tmp_path / "part"
    kills, inside, ended, longest = dict.fromkeys(STATUS, 0), 0, 0, 0.0
    while sum(kills.values()) < LEAST:
        process = begin(tmp_path, name, *(["resume=part"] if part.exists() else [*settings, "run_dir=part"]))
        number, before = rng.choice(list(STATUS)), newest(part)
        process.join(rng.uniform(0.1, 0.6) * took)
        killed = time.time()
        if process.exitcode is None and process.pid is not None:
            process.kill() if number == signal.SIGKILL else os.kill(process.pid, number)
        process.join()
        said = (tmp_path / "said.txt").read_text()
        if process.exitcode == 0:  # done: another one begins
            assert weights(part) == weights(tmp_path / "whole")
            shutil.rmtree(part)
            ended += 1
            continue
        assert process.exitcode in (STATUS[number], -number), said  # the latter: before the command was there
        kills[number] += 1
        if not (part / "config.yaml").exists():
            shutil.rmtree(part, ignore_errors=True)
            continue
        if process.exitcode > 0 and newest(part) != before:  # not where it was told while it still started
            assert f"continue with: python -m nas.{name} resume=part" in said
        steps = [step for each in {file, "train.pt"} if (step := step_file(kept / each)).exists()]
        inside += bool(steps)
        if steps and before < newest(part):  # it was in the steps of an epoch, and had kept one of them
            longest = max(longest, killed - newest(part))
        if steps and rng.random() < 0.2:
            damage(steps[0])
    whole(tmp_path, name, *(["resume=part"] if part.exists() else [*settings, "run_dir=part"]))
    counts = {number.name: count for number, count in kills.items()}
    print(f"{name}: {counts}, {inside} inside of an epoch, {ended} ended before; {longest:.2f} s lost at most")
    assert weights(part) == weights(tmp_path / "whole") and weights(part) and inside
    assert longest < INTERVAL_SECONDS + SLACK_SECONDS
    assert same(*(checkpoint.load(run / "checkpoints" / file) for run in (tmp_path / "whole", part)))
    if name == "search":
        assert outcome(part) == outcome(tmp_path / "whole")
