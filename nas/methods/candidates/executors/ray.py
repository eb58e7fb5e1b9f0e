"""Candidates trained by a Ray cluster."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from nas.methods.candidates.executors.base import Done, Work, describe
from nas.terminal.progress import log

REACHED_SECONDS = 10.0  # Ray itself tries an address for minutes


class RayExecutor:
    """Tasks on the cluster at `address` (None: a new one on this machine), at most `workers` at a time.

    Each asks for `cpus` and `gpus` and runs `cpus` threads. Retries are left to the trials, so a lost node is an error
    of the jobs it ran. Raises `ValueError` where Ray is not installed, where the cluster cannot be reached, and where
    this machine has less than a task asks for; a cluster may grow, so that of one it is only said.
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
            self._begin(ray)
        try:
            self._check_room(ray, may_grow=not mine or self.address is not None)
            workers = RayWorkers(ray, work, self)
            try:
                yield workers
            finally:
                workers.stop()
        finally:
            if mine:
                ray.shutdown()

    def _begin(self, ray: Any) -> None:
        """Join the cluster, or begin one here."""
        try:
            _reach(self.address)
            with _own_signals():
                # Ray itself would take None for whatever cluster it finds, running or not
                where = self.address or "local"
                ray.init(address=where, include_dashboard=False, log_to_driver=False, logging_level="error")
        except Exception as error:  # Ray raises bare ones too
            ray.shutdown()
            what = f"executor.address={self.address} cannot be used" if self.address else "Ray cannot begin here"
            raise ValueError(f"{what}: {describe(error)}") from None

    def _check_room(self, ray: Any, may_grow: bool) -> None:
        """Whether the nodes could run a task, and as many as asked: Ray would wait for room without a word."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = sum(self._room(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes)
        if room >= self.workers:
            return
        if room:
            whose = "the cluster" if may_grow else "this machine"
            log(
                f"executor.workers={self.workers}, but {whose} has room for {room} at once with "
                f"executor.cpus={self.cpus} executor.gpus={self.gpus:g}: the others wait for these"
            )
            return
        has = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes) or "none"
        asked = f"executor.cpus={self.cpus} executor.gpus={self.gpus:g} is more than"
        if not may_grow:
            raise ValueError(f"{asked} this machine has ({has}); ask for less, or name a cluster: executor.address=")
        log(f"{asked} any node of the cluster has ({has}): trainings wait until one that has joins")

    def _room(self, cpus: float, gpus: float) -> int:
        """How many tasks a node runs side by side. Those that ask for a part of a GPU each get it of a single one."""
        most = int(cpus // self.cpus)
        if not self.gpus:
            return most
        of_gpus = int(gpus) * int(1 / self.gpus + 1e-6) if self.gpus < 1 else int(gpus // self.gpus)
        return min(most, of_gpus)


def _reach(address: str | None) -> None:
    """Raise `OSError` where nothing answers at an `address` of a host and a port."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and "/" not in host and port.isdecimal() and int(port) < 2**16:
        socket.create_connection((host.strip("[]"), int(port)), REACHED_SECONDS).close()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray ends its process at SIGTERM, for good: what was to be done then (a training keeps its state) stays ours."""
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if mine else None
    try:
        yield
    finally:
        if mine and before is not None:
            signal.signal(signal.SIGTERM, before)


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
