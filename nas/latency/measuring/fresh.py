"""Measuring in a process of its own.

A process that has trained measures networks slower: after one epoch of a supernet the same network took 0.33 ms in it
and 0.22 ms in a new one, for good. A table is built before anything was trained, so a network that is to be compared
with it is measured in a new process.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

from nas.latency.device import Device
from nas.latency.measuring.measure import measure_arch_ms
from nas.latency.measuring.network_time import NetworkTime
from nas.latency.runtimes import check_local, runtime_named
from search_spaces.arch import Arch, modules_of


def measure_arch_fresh_ms(arch: Arch, device: Device, seed: int = 0) -> float:
    """Median milliseconds of one batch through `arch` on this machine; see `measure_arch_fresh`."""
    return measure_arch_fresh(arch, device, seed).latency_ms


def measure_arch_fresh(arch: Arch, device: Device, seed: int = 0) -> NetworkTime:
    """The time of one batch through `arch` on this machine, measured by a new Python process.

    Raises `ValueError` for a device this machine cannot measure for and for block kinds that only this process has,
    `RuntimeError` where the process failed.
    """
    check_local(device)
    for layer in arch.layers:
        if type(layer).__module__ == "__main__":
            raise ValueError(
                f"the block kind {layer.kind!r} is defined in the program itself; put it into a module of its own, "
                "which the process that measures can import"
            )
    modules = [*modules_of(arch), type(runtime_named(device.runtime)).__module__]  # they register what is your own
    request = json.dumps({"arch": arch.to_dict(), "device": device.to_dict(), "seed": seed, "modules": modules})
    command = [sys.executable, "-m", "nas.latency.measuring.fresh"]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # what this process can import
    done = subprocess.run(command, input=request, capture_output=True, text=True, env=found)
    if done.returncode:
        raise RuntimeError(f"measuring in a new process failed: {done.stderr.strip()[-2000:]}")
    result = json.loads(done.stdout.splitlines()[-1])
    return NetworkTime(result["median_ms"], result["median_ms"], result["spread_ms"])


def main() -> None:
    request = json.loads(sys.stdin.read())
    for module in request["modules"]:
        importlib.import_module(module)
    device = Device.from_dict(request["device"])
    found = measure_arch_ms(Arch.from_dict(request["arch"]), device, seed=request["seed"])
    print(json.dumps({"median_ms": found.median_ms, "spread_ms": found.spread_ms}))


if __name__ == "__main__":
    main()
