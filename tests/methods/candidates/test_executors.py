"""Executors: every job comes back once, as a result or as a reason."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from nas.methods.candidates.executors.base import Done, Workers
from nas.methods.candidates.executors.local import LocalExecutor
from nas.methods.candidates.executors.ray import RayExecutor


def work(job: Any) -> Any:
    if job == "raise":
        raise ValueError("no good")
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "wait":
        threading.Event().wait()  # for ever
    return (job, os.environ.get("OMP_NUM_THREADS"))


def run_all(workers: Workers, jobs: list[Any]) -> dict[int, Done]:
    ended: dict[int, Done] = {}
    waiting = list(enumerate(jobs))
    under_way = 0
    while waiting or under_way:
        while waiting and under_way < workers.capacity:
            workers.submit(*waiting.pop(0))
            under_way += 1
        for done in workers.wait(1.0):
            assert done.key not in ended
            ended[done.key] = done
            under_way -= 1
    return ended


def test_local_processes_return_results_errors_and_deaths() -> None:
    with LocalExecutor(workers=2, threads=1).open(work) as workers:
        ended = run_all(workers, [1, "raise", "die", 4, 5])
        assert ended[0].result == (1, "1") and ended[4].result == (5, "1")
        assert ended[1].error == "ValueError: no good"
        assert ended[2].error == "the worker process died (signal SIGKILL)"
        assert workers.wait(0.0) == []
        workers.submit(9, "wait")
        with pytest.raises(RuntimeError, match="busy"):
            workers.submit(10, 1)
            workers.submit(11, 1)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()  # what is under way is ended with the executor


def test_bad_executor_settings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"executor\.workers must be >= 1, got 0"):
        LocalExecutor(workers=0)
    with pytest.raises(ValueError, match="workers and cpus must be >= 1"):
        RayExecutor(address=None, workers=0)


def test_a_program_that_starts_processes_wherever_it_is_read_is_told_where_to(tmp_path: Path) -> None:
    """Each of its workers reads it, and would start workers of its own."""
    program = """
from nas.methods.candidates.executors.local import LocalExecutor
{}with LocalExecutor(workers=1).open(str) as workers:
      workers.submit(0, 7)
      while not (done := workers.wait(1.0)):
        pass
      print(done[0].result, done[0].error)
"""
    for name, guard in (("bare", ""), ("guarded", 'if __name__ == "__main__":\n  ')):
        (tmp_path / name).write_text(program.format(guard))
    ended = [subprocess.run([sys.executable, tmp_path / name], capture_output=True, text=True).stdout.strip()
             for name in ("bare", "guarded")]  # fmt: skip
    cure = 'a program that starts workers is a file and does so below `if __name__ == "__main__":`'
    assert ended == [f"None the worker process died (exit status 1; {cure})", "7 None"]


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="ray is installed")
def test_ray_says_how_to_get_it() -> None:
    with pytest.raises(ValueError, match="needs the package ray"), RayExecutor(address=None, workers=1).open(work):
        pass


@pytest.mark.slow
def test_ray_runs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed (extra `ray`)")
    # workers import `work` by its module's name, from a folder that pytest puts on this process's path alone
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    with RayExecutor(address=None, workers=2).open(work) as workers:
        ended = run_all(workers, [1, "raise", "die", 4])
    assert [ended[i].error for i in (0, 3)] == [None, None]
    assert ended[0].result[0] == 1 and ended[3].result[0] == 4
    assert ended[1].error == "ValueError: no good"
    assert ended[2].error is not None and ended[2].error.startswith("the worker was lost")
