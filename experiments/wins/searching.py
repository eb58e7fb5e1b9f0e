"""One search of the comparison, as a command of its own, and the processor time that it takes."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from experiments.wins.setting import Setting
from nas.runs.files import read_json, write_json
from search_spaces.arch import Arch

LOOK_SECONDS = 20.0  # between two looks at how much a search has used: what a kill may leave uncounted
KEPT = ("asked_latency_ms", "estimated_latency_ms", "measured_latency_ms", "budget_met", "validation_top1_percent")


@dataclass(frozen=True)
class Search:
    """The search under the budget `latency_ms`, which is `share` of the reference network's time, in `folder`."""

    setting: Setting
    root: str
    folder: Path
    tables: Path
    share: float
    latency_ms: float
    seed: int
    workers: int

    def run(self) -> dict[str, Any]:
        """Search, from where an earlier piece was interrupted; what came of it as a record of the results."""
        if not (self.folder / "result.json").exists():
            self._search()
        result, arch = read_json(self.folder / "result.json", "result"), Arch.load(self.folder / "arch.json")
        contest = result["contest"] or {}
        return {
            "kind": "search",
            "budget": self.share,
            "seed": self.seed,
            "macs": arch.macs,
            **{key: result[key] for key in KEPT},
            "contest": [[n["name"], n["validation_top1_percent"]] for n in contest.get("networks", [])],
            "search_seconds": result["search_seconds"],
            "processor_seconds": used_before(self.folder),
            "arch": arch.to_dict(),
        }

    def _search(self) -> None:
        keys = [
            *self.setting.search_keys(),
            f"data.root={self.root}",
            f"budget.latency_ms={self.latency_ms!r}",
            f"seed={self.seed}",
            f"executor.workers={self.workers}",
            f"tables={self.tables}",
            f"run_dir={self.folder}",
        ]
        if (self.folder / "config.yaml").exists():
            keys = [f"resume={self.folder}", f"executor.workers={self.workers}"]
        before, at_first = used_before(self.folder), waited_for()
        with (self.tables.parent / "searches.log").open("a") as said:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [sys.executable, "-m", "nas.search", *keys], env=environment, stdout=said, stderr=subprocess.STDOUT
            )
            try:
                while not _ends(process, LOOK_SECONDS):
                    keep_used(self.folder, before + tree_seconds(process.pid))
            finally:
                process.terminate()
                process.wait()
                keep_used(self.folder, before + waited_for() - at_first)
        if process.returncode > 1:  # 1: a budget that was missed; it is shown
            raise RuntimeError(f"the search in {self.folder} failed; see {said.name}")


def _ends(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether `process` ends within so many seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def used_before(folder: Path) -> float:
    """Processor seconds of all pieces of the search in `folder` so far."""
    path = _used(folder)
    return float(read_json(path, "processor seconds")["processor_seconds"]) if path.exists() else 0.0


def keep_used(folder: Path, seconds: float) -> None:
    """Remember the processor seconds of the search in `folder`, beside it."""
    write_json(_used(folder), {"processor_seconds": seconds})


def _used(folder: Path) -> Path:
    return folder.parent / f"{folder.name}-processor.json"


def waited_for() -> float:
    """Processor seconds of all processes that this one has started and waited for, and of those below them."""
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def tree_seconds(pid: int) -> float:
    """Processor seconds so far of the process `pid`, of those below it and of those that these waited for."""
    found = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            times = one.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found
