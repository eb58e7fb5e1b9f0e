"""A process that measures torch modules, for runtimes that are not given graphs.

It imports torch, builds what it is asked for and makes its graphs once, and forks a process for each sample, which
loads everything anew. Where the system cannot fork, it makes one sample, and is started once for each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import torch
from torch import nn

from nas.latency.device import Device
from nas.latency.measuring.processes.ended import SHELL, Ended, Slip, named
from nas.latency.measuring.processes.sampling import MISTAKE, Request, Steps, answer
from nas.latency.measuring.timing import Copies
from nas.latency.runtimes import runtime_named
from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.blocks import layer_from_dict
from search_spaces.costs import Shape

FORKS = hasattr(os, "fork")
Prepared = Callable[[int], Copies]  # see `Runtime.prepared`


def main() -> None:
    """Answer the requests on the standard input, each by a process of its own."""
    requests: list[Request] = json.loads(sys.stdin.read())
    for module in requests[0]["modules"]:
        importlib.import_module(module)
    torch.set_num_threads(1)  # a pool of more threads would not be there after a fork
    prepared = _prepared(requests)
    torch.set_num_threads(requests[0]["device"]["threads"])
    gc.collect()
    gc.freeze()
    gc.disable()
    for asked in requests:
        if not FORKS:
            _answer(asked, prepared)
            continue
        child = os.fork()
        if child == 0:
            try:
                _answer(asked, prepared)
                sys.stdout.flush()
                os._exit(0)
            except BaseException as error:
                _say(error)
                os._exit(_status(error))
        _, status = os.waitpid(child, 0)
        if status:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code > 0 else SHELL - code)  # at once: what libraries say at the end would hide its words


def _status(error: BaseException) -> int:
    if isinstance(error, Ended):
        return SHELL + error.number
    return MISTAKE if isinstance(error, ValueError) else 1


def _say(error: BaseException) -> None:
    if isinstance(error, Ended):
        print(error.said, file=sys.stderr)  # the rest is told by whoever asked
    elif isinstance(error, ValueError):
        print(f"Error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    sys.stderr.flush()


def _all(asked: Request) -> list[Mapping[str, Any]]:
    return [*asked["references"].values(), *asked["entries"]]


def _prepared(requests: list[Request]) -> dict[str, Prepared]:
    """All that is asked for, by key: what every process would do alike is done."""
    device = Device.from_request(requests[0]["device"])
    runtime = runtime_named(device.runtime)
    wanted = {entry["key"]: entry for asked in requests for entry in _all(asked)}
    steps, prepared = Steps("preparing", len(wanted)), {}
    with closing(Slip(requests[0].get("slip"))) as slip:
        for key, entry in wanted.items():
            steps.next()
            slip.write(f"preparing {named(key)}")
            module, shape = module_of(entry)
            prepared[key] = runtime.prepared(module, (device.batch_size, *shape), device)
    return prepared


def _answer(asked: Request, prepared: Mapping[str, Prepared]) -> None:
    answer(asked, lambda entry: prepared[entry["key"]](1)[0])


def module_of(entry: Mapping[str, Any]) -> tuple[nn.Module, Shape]:
    """The module that an entry describes, and the shape of its input (channels, height, width)."""
    if "arch" in entry:
        arch = Arch.from_dict(entry["arch"])
        return build_network(arch).eval(), arch.input_shape
    shape = Shape(*entry["shape"][-3:])  # a kit says the batch, too
    return layer_from_dict(entry["layer"]).build(shape).eval(), shape


if __name__ == "__main__":
    try:
        main()
    except ValueError as mistake:
        _say(mistake)
        sys.exit(MISTAKE)
