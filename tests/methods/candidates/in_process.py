"""Candidates trained or scored in this process: what a new one would do, without the seconds it takes to start."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from nas.methods.candidates.executors.base import Done, Work, describe
from nas.methods.candidates.executors.local import LocalExecutor


def carried(what: Any) -> Any:
    """As it arrives in another process."""
    return pickle.loads(pickle.dumps(what))


class InProcess:
    """The executor, and its one worker."""

    capacity = 1

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[InProcess]:
        self.work, self.waiting = carried(work), list[tuple[int, Any]]()
        yield self

    def submit(self, key: int, job: Any) -> None:
        self.waiting.append((key, job))

    def wait(self, timeout_seconds: float) -> list[Done]:
        key, job = self.waiting.pop()
        try:
            return [Done(key, carried(self.work(carried(job))))]
        except Exception as error:
            return [Done(key, error=describe(error))]


def no_processes(patch: pytest.MonkeyPatch) -> None:
    """Let `executor=local` be this one."""
    patch.setattr(LocalExecutor, "open", lambda self, work: InProcess().open(work))
