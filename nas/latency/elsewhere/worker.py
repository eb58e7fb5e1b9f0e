"""The worker: runs in the other interpreter, with what that has installed and our files, and answers `client`."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from nas.latency.device import Device
from nas.latency.measuring.timing import Workload, machine
from nas.latency.runtimes import runtime_named
from nas.latency.runtimes.base import GraphRuntime


class Desk:
    """What is loaded, by number, and how each request is answered."""

    def __init__(self) -> None:
        self.held: dict[int, Workload] = {}
        self.next = 0

    def answer(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        if "cores" in request:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, request["cores"])
        answers: dict[str, Callable[[dict[str, Any], bytes], dict[str, Any]]] = {
            "check": self.check,
            "versions": self.versions,
            "open": self.open,
            "run": self.run,
            "drop": self.drop,
            "placement": self.placement,
            "output": self.output,
        }
        return answers[request["do"]](request, graph)

    def check(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        runtime, device = _asked(request)
        runtime.check_here(device)
        return {}

    def versions(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        runtime, device = _asked(request)
        found = {name: machine()[name] for name in ("python", "numpy")}
        return {"versions": {**found, **runtime.versions_here(device.dtype)}}

    def open(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        runtime, device = _asked(request)
        numbers = []
        for session in runtime.open(graph, tuple(request["shape"]), device, request["count"]):
            self.held[self.next] = session.timed(runtime.in_calling_thread(device))
            numbers.append(self.next)
            self.next += 1
        gc.collect()
        return {"sessions": numbers}

    def run(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        return {"ms": self.held[request["session"]](request["calls"])}

    def drop(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        self.held.pop(request["session"], None)
        return {}

    def placement(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        runtime, device = _asked(request)
        (session,) = runtime.open(graph, tuple(request["shape"]), device, 1)
        return {"placement": session.placement().to_dict()}

    def output(self, request: dict[str, Any], graph: bytes) -> dict[str, Any]:
        runtime, device = _asked(request)
        (session,) = runtime.open(graph, tuple(request["shape"]), device, 1)
        session.run()
        found = np.asarray(session.output(), dtype=np.float32)
        return {"output": found.ravel().tolist(), "shape": list(found.shape)}


def _asked(request: dict[str, Any]) -> tuple[GraphRuntime, Device]:
    importlib.import_module(request["module"])
    device = Device.from_request(request["device"])
    runtime = runtime_named(device.runtime)
    if not isinstance(runtime, GraphRuntime):
        raise ValueError(f"runtime {device.runtime} is given no graphs, so that it runs in its own interpreter alone")
    return runtime, device


def main() -> None:
    """Answer requests from standard input until it ends. What libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.disable()
    desk = Desk()
    _reply(replies, {})
    requests: BinaryIO = sys.stdin.buffer
    while line := requests.readline():
        request = json.loads(line)
        graph = requests.read(request["bytes"])
        try:
            _reply(replies, desk.answer(request, graph))
        except ModuleNotFoundError as error:
            _reply(replies, {"error": f"{error.name} is not installed; {sys.executable} -m pip install {error.name}"})
        except Exception as error:  # of the runtime's own kinds: told to who asked, who decides
            _reply(replies, {"error": f"{type(error).__name__}: {error}" if _odd(error) else str(error)})


def _odd(error: Exception) -> bool:
    return not isinstance(error, ValueError)


def _reply(replies: Any, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()
