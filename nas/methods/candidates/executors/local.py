"""Candidates trained by processes on this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from nas.methods.candidates.executors.base import Done, Work, describe

STOP_SECONDS = 5.0
BELOW_MAIN = 'a program that starts workers is a file and does so below `if __name__ == "__main__":`'


class LocalExecutor:
    """`workers` new processes with `threads` threads each; a process that dies is replaced, its job is an error."""

    def __init__(self, *, workers: int, threads: int = 1) -> None:
        for name, value in (("workers", workers), ("threads", threads)):
            if value < 1:
                raise ValueError(f"executor.{name} must be >= 1, got {value}")
        self.workers, self.threads = workers, threads

    @contextlib.contextmanager
    def open(self, work: Work) -> Iterator[LocalWorkers]:
        workers = LocalWorkers(pickle.dumps(work), self.workers, self.threads)
        try:
            yield workers
        finally:
            workers.stop()


class LocalWorkers:
    """The processes of a `LocalExecutor`; each is started when it is first needed."""

    def __init__(self, work: bytes, count: int, threads: int) -> None:
        self.work, self.threads = work, threads
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._count = count

    @property
    def capacity(self) -> int:
        return self._count

    def submit(self, key: int, job: Any) -> None:
        if len(self._busy) >= self._count:
            raise RuntimeError(f"all {self._count} workers are busy")
        worker = self._idle.pop() if self._idle else _Worker(self.work, self.threads)
        try:
            worker.pipe.send(job)
        except OSError:  # died while idle
            worker.stop()
            worker = _Worker(self.work, self.threads)
            worker.pipe.send(job)
        self._busy[key] = worker

    def wait(self, timeout_seconds: float) -> list[Done]:
        if not self._busy:
            return []
        ready = set(wait([w.pipe for w in self._busy.values()], timeout_seconds))
        ended = []
        for key, worker in list(self._busy.items()):
            if worker.pipe not in ready:
                continue
            del self._busy[key]
            try:
                result, error = worker.pipe.recv()
            except (EOFError, OSError):
                worker.stop()
                ended.append(Done(key, error=f"the worker process died ({_exit(worker.process.exitcode)})"))
                continue
            self._idle.append(worker)
            ended.append(Done(key, result, error))
        return ended

    def stop(self) -> None:
        """End all processes, whatever they are doing."""
        for worker in [*self._idle, *self._busy.values()]:
            worker.stop()
        self._idle, self._busy = [], {}


class _Worker:
    def __init__(self, work: bytes, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self.process.start()
        theirs.close()

    def stop(self) -> None:
        self.pipe.close()
        if self.process.is_alive():
            self.process.terminate()
        self.process.join(STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, work: bytes, threads: int) -> None:
    """The life of a worker: jobs in, results or errors out, until the other side is gone."""
    for name in ("SIGINT", "SIGUSR1", "SIGHUP"):  # Ctrl-C, a job's last minute, a closed terminal: our parent ends us
        if number := getattr(signal, name, None):
            signal.signal(number, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    function = pickle.loads(work)
    import torch  # behind OMP_NUM_THREADS

    torch.set_num_threads(threads)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[Any, str | None] = (function(job), None)
        except Exception as error:  # whatever a training raises is an outcome, not the end of the worker
            answer = (None, describe(error))
        try:
            pipe.send(answer)
        except OSError:
            return


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _exit(code: int | None) -> str:
    """How a process ended; of one that could not begin, as it imports the program that starts it, the cure too."""
    if code == 1 and getattr(sys.modules["__main__"], "__spec__", None) is None:
        return f"exit status 1; {BELOW_MAIN}"
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
