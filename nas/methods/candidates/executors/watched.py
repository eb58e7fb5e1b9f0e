"""An executor whose workers read images for themselves: their jobs and results count while these are the known ones."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nas.data.files.known_images import KnownImages
from nas.methods.candidates.executors.base import Done, Executor, Work, Workers


@dataclass(frozen=True)
class Watched:
    """`executor`, which ends with `ValueError` where the files of `images` changed: nothing of that is recorded."""

    executor: Executor
    images: KnownImages

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[WatchedWorkers]:
        with self.executor.open(work) as workers:
            yield WatchedWorkers(workers, self.images)


@dataclass(frozen=True)
class WatchedWorkers:
    """`workers`, looked after before each job and behind it."""

    workers: Workers
    images: KnownImages

    @property
    def capacity(self) -> int:
        return self.workers.capacity

    def submit(self, key: int, job: Any) -> None:
        self.images.check()
        self.workers.submit(key, job)

    def wait(self, timeout_seconds: float) -> list[Done]:
        done = self.workers.wait(timeout_seconds)
        if done:
            self.images.check()
        return done
