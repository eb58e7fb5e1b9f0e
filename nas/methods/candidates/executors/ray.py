"""Candidates trained by a Ray cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from nas.methods.candidates.executors.base import Done, Work, describe


class RayExecutor:
    """Tasks on the cluster at `address` (None: a new one on this machine), at most `workers` at a time.

    Each asks for `cpus` and `gpus` and runs `cpus` threads. Retries are left to the trials, so a lost node is an error
    of the jobs it ran. Raises `ValueError` where Ray is not installed or the cluster cannot be reached.
    """

    def __init__(self, *, address: str | None, workers: int, cpus: int = 1, gpus: float = 0.0) -> None:
        if workers < 1 or cpus < 1 or gpus < 0:
            raise ValueError(f"executor: workers and cpus must be >= 1 and gpus >= 0, got {workers}, {cpus}, {gpus}")
        self.address, self.workers, self.cpus, self.gpus = address, workers, cpus, gpus

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[RayWorkers]:
        try:
            import ray
        except ModuleNotFoundError:
            raise ValueError("executor=ray needs the package ray: pip install 'nas-under-budget[ray]'") from None
        mine = not ray.is_initialized()
        if mine:
            try:
                # Ray itself would take None for whatever cluster it finds, running or not
                where = self.address or "local"
                ray.init(address=where, include_dashboard=False, log_to_driver=False, logging_level="error")
            except ConnectionError as error:
                raise ValueError(f"executor.address={self.address} cannot be reached: {describe(error)}") from None
        workers = RayWorkers(ray, work, self)
        try:
            yield workers
        finally:
            workers.stop()
            if mine:
                ray.shutdown()


class RayWorkers:
    """Tasks under way on a cluster."""

    def __init__(self, ray: Any, work: Work, executor: RayExecutor) -> None:
        self.ray, self._count, self._threads = ray, executor.workers, executor.cpus
        self._task = ray.remote(num_cpus=executor.cpus, num_gpus=executor.gpus, max_retries=0)(_run)
        self._work = ray.put(work)
        self._busy: dict[Any, int] = {}

    @property
    def capacity(self) -> int:
        return self._count

    def submit(self, key: int, job: Any) -> None:
        if len(self._busy) >= self._count:
            raise RuntimeError(f"all {self._count} workers are busy")
        self._busy[self._task.remote(self._work, job, self._threads)] = key

    def wait(self, timeout_seconds: float) -> list[Done]:
        if not self._busy:
            return []
        ready, _ = self.ray.wait(list(self._busy), num_returns=1, timeout=timeout_seconds)
        ended = []
        for reference in ready:
            key = self._busy.pop(reference)
            try:
                result, error = self.ray.get(reference)
            except self.ray.exceptions.RayError as lost:
                result, error = None, f"the worker was lost: {describe(lost)}"
            ended.append(Done(key, result, error))
        return ended

    def stop(self) -> None:
        """Cancel what is under way."""
        for reference in self._busy:
            self.ray.cancel(reference, force=True)
        self._busy = {}


def _run(work: Work, job: Any, threads: int) -> tuple[Any, str | None]:
    import torch

    torch.set_num_threads(threads)
    try:
        return work(job), None
    except Exception as error:  # an outcome of the job, not of the worker
        return None, describe(error)
