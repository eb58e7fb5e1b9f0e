"""Supernets, scores and derivations that a signal kills at moments nobody chose, and that end as undisturbed ones."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from nas.methods.candidates.executors.base import Done, Work
from nas.runs import checkpoint
from nas.runs.run import read_metrics
from tests.processes import FORKED
from tests.runs.killed_runs import command, same

SPACE = ["space=from_card", "space.head.out_channels=32", "space.resolution=8", "latency=off"]
PRETRAINING = [
    "pretraining.recipe.epochs=2",
    "pretraining.random=1",
    "pretraining.recipe.batch_size=256",
    "search.statistics=200",
]
SEARCH = [*SPACE, "method=regularized_evolution", "search.scorer=elastic", *PRETRAINING]
SEARCH += ["search.trials=4", "search.batch=2", "budget.macs=300000"]
DERIVE = ["budget.macs=200000", "candidates=4", "count=2"]


class Here:
    """An executor that scores in the process that searches: one process less to start."""

    capacity = 1

    def __init__(self, work: Work) -> None:
        self.work = work
        self.waiting: list[tuple[int, Any]] = []

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        return [Done(key, self.work(job))]


def run_here(folder: str, name: str, settings: list[str]) -> None:
    """A command in this process, which is there to be killed."""
    import os
    import sys

    import torch

    from nas.derive.__main__ import main as derive
    from nas.methods.candidates.executors.local import LocalExecutor
    from nas.search.__main__ import main as search

    @contextlib.contextmanager
    def here(self: LocalExecutor, work: Work) -> Iterator[Here]:
        yield Here(work)

    LocalExecutor.open = here  # type: ignore[method-assign,assignment]
    torch.set_num_threads(1)
    os.chdir(folder)
    with open("said.txt", "a", encoding="utf-8") as said:
        sys.stdout = sys.stderr = said
        {"search": search, "derive": derive}[name](settings)


def piece(folder: Path, name: str, *settings: str) -> BaseProcess:
    process = FORKED.Process(target=run_here, args=(str(folder), name, list(settings)))
    process.start()
    return process


def whole(process: BaseProcess, folder: Path) -> None:
    process.join(120)
    assert process.exitcode == 0, (folder / "said.txt").read_text()


def kill(process: BaseProcess, moment: Callable[[], bool], wait: float, number: int = signal.SIGKILL) -> None:
    """Signal `number`, `wait` seconds after `moment()` holds for the first time."""
    while not moment() and process.is_alive():
        time.sleep(0.005)
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError):
        assert process.pid is not None
        os.kill(process.pid, number)
    process.join()
    ended = (-number, 128 + number)  # the second where the command was there to handle it
    assert process.exitcode in (ended[:1] if number == signal.SIGKILL else (0, *ended)), process.exitcode


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "time" and not key.endswith("seconds")}


def outcome(run: Path) -> dict[str, Any]:
    """All that a run found, but for the time it took."""
    trials = re.sub(r'"(seconds|digest)": [^,}\n]*', "", (run / "trials.json").read_text())
    return {
        "metrics": [timeless(record) for record in read_metrics(run)],
        "result": timeless(json.loads((run / "result.json").read_text())),
        "arch": (run / "arch.json").read_text(),
        "trials": trials,
        "weights": [path.read_bytes() for path in sorted((run / "model").glob("*.safetensors"))],
    }


def derived(out: Path) -> dict[str, bytes]:
    """What a derivation leaves, all of it."""
    kept = ("*.json", "model*/*.safetensors")
    return {str(path.relative_to(out)): path.read_bytes() for glob in kept for path in sorted(out.glob(glob))}


def records(run: Path, phase: str) -> int:
    return sum(record["phase"] == phase for record in read_metrics(run)) if (run / "metrics.jsonl").exists() else 0


@pytest.mark.slow  # without signals: tests/methods/elastic/test_pretraining.py, test_killed_in_every_phase.py
@pytest.mark.timeout(900)
def test_a_killed_search_or_derivation_ends_as_a_whole_one(tmp_path: Path) -> None:
    rng = random.Random()
    part = tmp_path / "part"
    other = piece(tmp_path, "search", *SEARCH, "run_dir=whole")
    settings = [*SEARCH, "run_dir=part", "checkpoint_minutes=0.01"]
    for phase, count, number in (("pretrain", 1, signal.SIGTERM), ("search", 1, signal.SIGKILL)):
        process = piece(tmp_path, "search", *settings)
        kill(process, lambda phase=phase, count=count: records(part, phase) >= count, 0.2 * rng.random(), number)  # type: ignore[misc]
        settings = ["resume=part"]
    assert not (part / "result.json").exists(), "it was never killed"
    whole(piece(tmp_path, "search", *settings), tmp_path)
    whole(other, tmp_path)
    expected = outcome(tmp_path / "whole")
    assert outcome(part) == expected and expected["weights"]
    supernets = [checkpoint.load(run / "checkpoints" / "supernet.pt") for run in (tmp_path / "whole", part)]
    assert same(*supernets)

    settings, began = ["run=whole", *DERIVE], time.perf_counter()
    whole(piece(tmp_path, "derive", *settings, "out=first"), tmp_path)
    seconds = time.perf_counter() - began
    kill(
        piece(tmp_path, "derive", *settings, "out=second"),
        lambda: True,
        seconds * (0.3 + 0.5 * rng.random()),
        signal.SIGUSR1,
    )
    whole(piece(tmp_path, "derive", *settings, "out=second"), tmp_path)
    found = derived(tmp_path / "second")
    assert found == derived(tmp_path / "first") and "model-2/model.safetensors" in found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_over_and_over(tmp_path: Path) -> None:
    """The commands themselves, with their worker processes, killed after a time drawn anew for each piece.

    Prints how many pieces were killed, and what they had done.
    """
    rng = random.Random()
    executed = [*SEARCH, "train.epochs=1", "recipe.epochs=2", "executor.workers=1"]
    took = command(tmp_path, "nas.search", *executed, "run_dir=whole")
    expected, part, killed = outcome(tmp_path / "whole"), tmp_path / "part", {"pretrain": 0, "search": 0, "train": 0}
    while not (part / "result.json").exists():
        settings = ["resume=part"] if (part / "config.yaml").exists() else [*executed, "run_dir=part"]
        if command(tmp_path, "nas.search", *settings, seconds=rng.uniform(0.3, 0.7) * took) is None:
            done = [phase for phase in killed if records(part, phase)]
            killed[done[-1] if done else "pretrain"] += 1
        assert sum(killed.values()) < 60, "no piece gets anywhere"
    command(tmp_path, "nas.search", "resume=part")
    assert outcome(part) == expected and sum(killed.values()) > 1
    print(f"search: {killed} pieces killed behind the last record of that phase")

    settings = ["run=whole", *DERIVE, "train.epochs=3"]
    took = command(tmp_path, "nas.derive", *settings, "out=first")
    pieces = 0
    for _ in range(8):
        if command(tmp_path, "nas.derive", *settings, "out=second", seconds=rng.uniform(0.4, 1) * took) is not None:
            break
        pieces += 1
    command(tmp_path, "nas.derive", *settings, "out=second")
    assert derived(tmp_path / "second") == derived(tmp_path / "first") and pieces
    print(f"derive: {pieces} pieces killed")
