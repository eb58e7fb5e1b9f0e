"""A process that measures torch modules, for runtimes that are not given graphs.

It imports torch and builds what it is asked for once, and forks a process for each sample, which loads everything anew.
Where the system cannot fork, it makes one sample, and is started once for each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from nas.latency.device import Device
from nas.latency.measuring.processes.ended import SHELL, Ended
from nas.latency.measuring.processes.sampling import MISTAKE, Request, answer
from nas.latency.measuring.timing import Workload
from nas.latency.runtimes import runtime_named
from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.blocks import layer_from_dict
from search_spaces.costs import Shape

FORKS = hasattr(os, "fork")


def main() -> None:
    """Answer the requests on the standard input, each by a process of its own."""
    requests: list[Request] = json.loads(sys.stdin.read())
    for module in requests[0]["modules"]:
        importlib.import_module(module)
    torch.set_num_threads(requests[0]["device"]["threads"])
    wanted = {entry["key"]: entry for asked in requests for entry in _all(asked)}
    built = {key: module_of(entry) for key, entry in wanted.items()}
    gc.collect()
    gc.freeze()
    gc.disable()
    for asked in requests:
        if not FORKS:
            _answer(asked, built)
            continue
        child = os.fork()
        if child == 0:
            try:
                _answer(asked, built)
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


def _answer(asked: Request, built: Mapping[str, tuple[nn.Module, Shape]]) -> None:
    device = Device.from_request(asked["device"])

    def load(entry: Mapping[str, Any]) -> Workload:
        module, shape = built[entry["key"]]
        return runtime_named(device.runtime).load(module, (device.batch_size, *shape), device, 1)[0]

    answer(asked, load)


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
