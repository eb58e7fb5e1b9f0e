"""Contests and references killed by SIGKILL: in each rung, while references are measured and while they train."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from nas.latency.measuring.network_time import NetworkTime
from nas.runs import checkpoint
from nas.runs.run import read_metrics
from search_spaces.arch import Arch
from search_spaces.families.hand_made.plain import plain
from tests.processes import FORKED
from tests.runs.killed_runs import same
from tests.runs.test_killed_elastic import kill, records
from tests.search.references.test_searches import made_up

REFERENCES = [plain("plain_conv4", width, 8, 10, 1) for width in (0.25, 0.5)]
SETTINGS = [
    *("space=fbnet", "space.width=0.25", "space.head_channels=32", "space.resolution=8"),
    *("space.candidates=[k3_e1,k3_e3,skip]", "method=regularized_evolution", "search.trials=4", "search.batch=2"),
    *("search.epochs=1", "recipe.epochs=4", "recipe.warmup_epochs=0", "recipe.batch_size=64", "accelerator=cpu"),
    *("budget.fraction=0.8", "derive.contest=3", "derive.rungs=[1,2]", "derive.best_of=all"),
    *("references.names=[one.json,two.json]", "references.train=true"),
]
ONE = ["executor.workers=1"]
EXECUTORS = {"local": ["executor.workers=2"], "ray": ["executor=ray", "executor.workers=2"]}
MEASURING = "measuring"  # a file: references are being measured


def run_here(folder: str, settings: list[str]) -> None:
    """A search in this process, which is there to be killed; its workers are processes of their own."""
    import os
    import sys

    import torch

    from nas.latency import build
    from nas.latency.measuring import networks
    from nas.search.__main__ import main

    build.build_table = made_up  # type: ignore[assignment]
    networks.measure_networks = measured  # type: ignore[assignment]
    torch.set_num_threads(1)
    os.chdir(folder)
    with open("said.txt", "a", encoding="utf-8") as said:
        sys.stdout = sys.stderr = said
        main(settings)


def measured(archs: list[Arch], device: object, calm: object, seed: int = 0, *care: object) -> list[NetworkTime]:
    """Times that repeat, and that take their time: each network's multiply-adds."""
    Path(MEASURING).touch()
    time.sleep(0.3)
    return [NetworkTime(arch.macs / 1e6, arch.macs / 1e6, 0.0) for arch in archs]


def piece(folder: Path, *settings: str) -> BaseProcess:
    process = FORKED.Process(target=run_here, args=(str(folder), list(settings)))
    process.start()
    return process


def end(process: BaseProcess, folder: Path) -> None:
    process.join(900)
    assert process.exitcode == 0, (folder / "said.txt").read_text()


def outcome(run: Path) -> dict[str, Any]:
    """All that a run found, but for the time it took and what its contest was called."""
    names = ("result", "contest", "references", "derived", "arch", "recipe")
    found = {name: without_times(json.loads((run / f"{name}.json").read_text())) for name in names}
    del found["references"]["identity"]["table"]  # made up anew by each process, with its time
    return {**found, "metrics": [without_times(record) for record in read_metrics(run)]}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: without_times(found) for key, found in value.items() if not key.endswith("seconds")}
        return {key: found for key, found in kept.items() if key not in ("time", "id", "digest")}
    return [without_times(found) for found in value] if isinstance(value, list) else value


def trained(run: Path, epochs: int) -> int:
    """How many networks of the contest in `run` are through with so many epochs."""
    path = run / "contest.json"
    known = json.loads(path.read_text())["trained"].values() if path.exists() else ()
    return sum(str(epochs) in rungs for rungs in known)


def moments(run: Path) -> dict[str, Callable[[], bool]]:
    """By what is under way then, the moments at which the search in `run` is killed, in their order."""
    first, second = (run / "checkpoints" / f"reference-{arch.id}.pt" for arch in REFERENCES)
    return {
        "references are measured": (run.parent / MEASURING).exists,
        "candidates are trained": lambda: records(run, "search") > 0,
        "rung 1": lambda: trained(run, 1) > 0,
        "rung 2": lambda: trained(run, 2) > 0,
        "the final training": lambda: records(run, "train") > 0,
        "the first reference is trained": first.exists,
        "the second reference is trained": second.exists,
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run that nobody kills, of one worker, and its table."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for name, arch in zip(("one", "two"), REFERENCES, strict=True):
        (folder / f"{name}.json").write_text(arch.to_json())
    end(piece(folder, *SETTINGS, *ONE, "run_dir=run"), folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", EXECUTORS)
def test_killed_in_each_rung_and_beside_references(name: str, undisturbed: Path, tmp_path: Path) -> None:
    if name == "ray":
        pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    for path in undisturbed.glob("*.json"):
        shutil.copy(path, tmp_path)
    run, rng = tmp_path / "run", random.Random()
    settings = [*SETTINGS, *EXECUTORS[name], "run_dir=run"]
    for what, moment in moments(run).items():
        process = piece(tmp_path, *settings)
        kill(process, moment, 0.2 * rng.random())
        assert process.exitcode == -9, f"it was not killed while {what}; see {tmp_path / 'said.txt'}"
        settings = ["resume=run"]
    assert not (run / "result.json").exists()
    end(piece(tmp_path, *settings), tmp_path)
    expected = outcome(undisturbed / "run")
    assert outcome(run) == expected
    assert len(expected["result"]["references"]) == 2 and len(expected["contest"]["outcome"]["networks"]) == 5
    for path in sorted((undisturbed / "run" / "checkpoints").glob("*.pt")):
        other = run / "checkpoints" / path.name
        assert same(checkpoint.load(path), checkpoint.load(other)), path.name
    weights = [path / "model" / "model.safetensors" for path in (run, undisturbed / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
