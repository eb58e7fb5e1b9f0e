"""Asking the worker of another interpreter: one process for each, started when it is first needed.

Requests are a line of JSON, followed by a graph where one is sent; answers are a line of JSON.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

import search_spaces
from nas.latency.device import Device
from nas.latency.measuring.processes.ended import Ended, signal_of
from nas.latency.measuring.timing import Copies
from nas.latency.placement import Placement
from nas.terminal.thread_waits import as_deployed

START = """
import json, sys, types
if sys.version_info < (3, 11):
    found = sys.version.split()[0]
    print(json.dumps({"error": f"it is Python {found}, and 3.11 or newer is needed", "final": True}), flush=True)
    sys.exit(0)
for name, folder in zip(("nas", "search_spaces"), sys.argv[1:]):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
try:
    from nas.latency.elsewhere.worker import main
except ModuleNotFoundError as error:
    cure = f"{error.name} is not installed in it; {sys.executable} -m pip install {error.name}"
    print(json.dumps({"error": cure, "final": True}), flush=True)
    sys.exit(0)
main()
"""
# Our packages alone are shown to it, without what they import at once: those beside them are built for this interpreter


class Worker:
    """A process of the interpreter `python` that answers requests. Raises `ValueError` where it cannot be started."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  (what libraries print: shown where the process ends of itself)
        kept = as_deployed(os.environ).items()
        found = {name: value for name, value in kept if name not in ("PYTHONPATH", "PYTHONHOME")}
        ours = (Path(__file__).parents[2], Path(str(search_spaces.__file__)).parent)
        command = [os.path.expanduser(python), "-c", START, *(str(folder) for folder in ours)]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.messages, env=found
            )
        except OSError as error:
            self.messages.close()
            raise ValueError(
                f"device.python={python} cannot be started ({error.strerror}); give the path of the Python interpreter "
                "of the environment that has the runtime, such as litert/bin/python"
            ) from None
        self.cores: list[int] | None = None
        self._read()

    def ask(self, request: dict[str, Any], graph: bytes = b"") -> dict[str, Any]:
        """The answer to `request`. Raises `ValueError` with its reason, `RuntimeError` or `Ended` where it ended."""
        if self.messages.closed:
            raise RuntimeError(f"the measuring process of {self.python} ended, and with it what it had loaded")
        if self.process.poll() is None and hasattr(os, "sched_getaffinity"):
            cores = sorted(os.sched_getaffinity(0))
            if cores != self.cores:
                self.cores, request = cores, {**request, "cores": cores}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({**request, "bytes": len(graph)}).encode() + b"\n" + graph)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said before it ended is read below
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code, said = self.process.wait(), self._last_words()
            self.close()
            if (number := signal_of(code)) is not None:
                raise Ended(f"the measuring process of {self.python}", number, said=said)
            raise RuntimeError(
                f"the measuring process of {self.python} ended with status {code}: {said or 'it said nothing'}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            if answer.get("final"):
                self.close()
            raise ValueError(f"{self.python}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self.messages.seek(0)
        lines = self.messages.read().decode(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])

    def drop(self, number: int) -> None:
        if not self.messages.closed and self.process.poll() is None:
            self.ask({"do": "drop", "session": number})

    def close(self) -> None:
        """End the process: it goes when its requests do."""
        if _WORKERS.get(self.python) is self:
            del _WORKERS[self.python]
        for stream in (self.process.stdin, self.process.stdout, self.messages):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.process.wait()


_WORKERS: dict[str, Worker] = {}  # one of each interpreter


def worker(python: str) -> Worker:
    """The worker of the interpreter `python`, started where there is none."""
    known = _WORKERS.get(python)
    if known is not None and known.process.poll() is not None:
        known.close()
    if python not in _WORKERS:
        _WORKERS[python] = Worker(python)
    return _WORKERS[python]


@atexit.register
def close_all() -> None:
    """End all workers."""
    for each in list(_WORKERS.values()):
        each.close()


class Elsewhere:
    """A `Workload` that a worker holds and times."""

    def __init__(self, there: Worker, number: int) -> None:
        self.there, self.number = there, number
        weakref.finalize(self, there.drop, number).atexit = False

    def __call__(self, calls: int) -> list[float]:
        times: list[float] = self.there.ask({"do": "run", "session": self.number, "calls": calls})["ms"]
        return times


def _request(device: Device, module: str, **more: Any) -> tuple[Worker, dict[str, Any]]:
    assert device.python is not None
    return worker(device.python), {"device": device.to_request(), "module": module, **more}


def check(device: Device, module: str) -> None:
    """Raise `ValueError` where the runtime of `device`, defined in `module`, is of no use in `device.python`."""
    there, request = _request(device, module, do="check")
    there.ask(request)


def versions(device: Device, module: str) -> dict[str, Any]:
    """What a table records of that interpreter: versions of its packages and of Python."""
    there, request = _request(device, module, do="versions")
    found: dict[str, Any] = there.ask(request)["versions"]
    return found


def load(device: Device, module: str, graph: bytes, shape: tuple[int, ...], count: int) -> Copies:
    """The ONNX model `graph`, loaded `count` times there."""
    there, request = _request(device, module, do="open", shape=shape, count=count)
    return [Elsewhere(there, number) for number in there.ask(request, graph)["sessions"]]


def placement(device: Device, module: str, graph: bytes, shape: tuple[int, ...]) -> Placement:
    there, request = _request(device, module, do="placement", shape=shape)
    return Placement.from_dict(there.ask(request, graph)["placement"])


def output(device: Device, module: str, graph: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """What the graph computes there of `timing.image(shape)`."""
    there, request = _request(device, module, do="output", shape=shape)
    found = there.ask(request, graph)
    return np.array(found["output"], dtype=np.float32).reshape(found["shape"])
