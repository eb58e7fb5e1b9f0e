"""Measurements in this process: what a script or a test times by itself. Networks that matter are timed in processes of
their own (`nas.latency.measuring.networks`)."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from nas.latency.device import Device, pinned
from nas.latency.measuring.ladder import ladder
from nas.latency.measuring.samples import Conditions, Measurement, calm_speed, measurements
from nas.latency.measuring.timing import Copies, Workload
from nas.latency.measuring.visits import Interleaved, Visit, Visits
from nas.latency.runtimes import check_local, runtime_named
from nas.networks.network import build_network
from search_spaces.arch import Arch

REFERENCE = "6m"  # of all workloads that are measured in this process
LOADS = 4  # of a network that is measured in one process: two loads of a small one differ by 3%, of a larger one by 1%


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often one network is timed: in `rounds` visits to each of its copies, of about `visit_ms` each."""

    rounds: int = 15
    visit_ms: float = 50.0


def prepare(module: nn.Module, input_shape: tuple[int, int, int], device: Device) -> Workload:
    """`module` in eval mode, ready to be timed for `device` on batches of images of `input_shape`."""
    return prepare_copies(module, input_shape, device, 1)[0]


def prepare_copies(module: nn.Module, input_shape: tuple[int, int, int], device: Device, count: int) -> Copies:
    """`module` loaded `count` times. What lies where in memory differs, and with it the time."""
    return runtime_named(device.runtime).load(module, (device.batch_size, *input_shape), device, count)


@contextmanager
def quiet(device: Device) -> Iterator[None]:
    """The conditions of every measurement: `device.threads` torch threads and no garbage collection meanwhile."""
    import torch

    threads = torch.get_num_threads()
    collecting = gc.isenabled()
    torch.set_num_threads(device.threads)
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if collecting:
            gc.enable()


def reference_workload(device: Device) -> Workload:
    """The reference `REFERENCE` on `device`."""
    arch = ladder()[REFERENCE]
    return prepare(build_network(arch), arch.input_shape, device)


def visits_here(workloads: Mapping[str, Copies], device: Device, seed: int, repeats: Repeats) -> Visits:
    """Visits to `workloads` in this process, beside the reference `REFERENCE`."""
    visits: Visits = {}

    def record(key: str, turn: int, visit: Visit) -> None:
        visits.setdefault(key, {})[turn] = visit

    watch = Interleaved(seed, repeats.visit_ms, {REFERENCE: reference_workload(device)}, record)
    watch.run(workloads, dict.fromkeys(workloads, range(repeats.rounds)))
    return visits


def measured_here(
    workloads: Mapping[str, Copies], device: Device, seed: int, repeats: Repeats
) -> dict[str, Measurement]:
    """Times of `workloads` in this process, at the calmest speed the reference had meanwhile."""
    with quiet(device):
        visits = visits_here(workloads, device, seed, repeats)
    rungs = dict.fromkeys(visits, REFERENCE)
    return measurements(visits, rungs, Conditions(calm_speed(visits, rungs)))


def measure_arch_ms(
    arch_or_module: Arch | nn.Module,
    device: Device,
    *,
    input_shape: tuple[int, int, int] | None = None,
    repeats: Repeats = Repeats(),
    pin: bool = False,
    seed: int = 0,
) -> Measurement:
    """Time one batch of `arch_or_module` in this process; what is to be compared with a table: `measure_networks`.

    It is loaded `LOADS` times, and visits take turns among the copies: the time is that of no lucky or unlucky place in
    memory.
    An `Arch` is built with random weights (they do not matter for the time); for a module give `input_shape`
    (channels, height, width), unless it carries an `arch`. Under ONNX Runtime the module is written as the graph that
    `torch.onnx.export` gives (see `onnx_graph`). Raises `ValueError` for a device this machine cannot measure for.
    """
    check_local(device)
    if isinstance(arch_or_module, Arch):
        module: nn.Module = build_network(arch_or_module)
        shape: tuple[int, int, int] = arch_or_module.input_shape
    else:
        module = arch_or_module
        known = getattr(module, "arch", None)
        if input_shape is None and not isinstance(known, Arch):
            raise ValueError("measuring a module that carries no arch needs input_shape=(channels, height, width)")
        shape = input_shape if input_shape is not None else known.input_shape  # type: ignore[union-attr]
    training = module.training
    with pinned(pin, device.threads):
        copies = {"network": prepare_copies(module, shape, device, LOADS)}
        found = measured_here(copies, device, seed, repeats)["network"]
    module.train(training)
    return found
