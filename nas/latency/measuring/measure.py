"""Measurements of this machine: medians over visits, and the time of one emitted network."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from nas.latency.device import Device, pinned
from nas.latency.measuring.timing import Copies, Workload
from nas.latency.measuring.visits import DISTURBED, Interleaved, Visit, Visits, usual_reference_ms
from nas.latency.runtimes import check_local, runtime_named
from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.families.fbnet import published

REFERENCE = published("fbnetc_100", resolution=64)
"""The network whose time watches the machine: 32 million multiply-adds and, as the networks it stands for, more weights
than caches hold, so that it feels what they feel. The same for all tables of a device, so that their times compare."""
MIN_CALM = 3
LOADS = 4  # of a network that is measured on its own: two loads of a small one differ by 3%, of a larger one by 1%


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often one network is timed: in `rounds` visits to each of its copies, of about `visit_ms` each."""

    rounds: int = 15
    visit_ms: float = 50.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median over visits, half the interquartile range of the visits, timed calls in all, and the halves' medians.

    `halves_ms` are those of even and of odd rounds. Visits that were under background load when repeated too are
    left out (`under_load` says how many), unless fewer than three others are left. `reference_ms` is the median time of
    the reference workload around the rest.
    """

    median_ms: float
    spread_ms: float
    count: int
    halves_ms: tuple[float, float]
    reference_ms: float = math.nan
    under_load: int = 0

    @staticmethod
    def of(visits: Sequence[Visit], usual_reference_ms: float = math.inf) -> Measurement:
        """`visits`: one a round, in their order."""
        halves = [_calm(visits[half::2] or visits, usual_reference_ms) for half in (0, 1)]
        calm = _calm(visits, usual_reference_ms)
        times = [visit.ms for visit in calm]
        quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
        return Measurement(
            statistics.median(times),
            (quartiles[2] - quartiles[0]) / 2,
            sum(visit.calls for visit in calm),
            (statistics.median(v.ms for v in halves[0]), statistics.median(v.ms for v in halves[1])),
            statistics.median(visit.reference_ms for visit in calm),
            len(visits) - len(calm),
        )


def _calm(visits: Sequence[Visit], usual_reference_ms: float) -> Sequence[Visit]:
    """The visits on a machine that was left alone; the three that were so most where there are fewer."""
    calm = [visit for visit in visits if visit.reference_ms <= DISTURBED * usual_reference_ms]
    if len(calm) < min(MIN_CALM, len(visits)):
        return sorted(visits, key=lambda visit: visit.reference_ms)[:MIN_CALM]
    return calm


def measurements(visits: Visits) -> dict[str, Measurement]:
    """The measurement of every visited workload."""
    usual = usual_reference_ms(visits)
    return {key: Measurement.of([turns[turn] for turn in sorted(turns)], usual) for key, turns in visits.items()}


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
    """`REFERENCE` on `device`."""
    return prepare(build_network(REFERENCE), REFERENCE.input_shape, device)


def measure_arch_ms(
    arch_or_module: Arch | nn.Module,
    device: Device,
    *,
    input_shape: tuple[int, int, int] | None = None,
    repeats: Repeats = Repeats(),
    pin: bool = False,
    seed: int = 0,
) -> Measurement:
    """Time one batch of `arch_or_module` on this machine, the way a table's own networks are timed.

    It is loaded `LOADS` times, and visits take turns among the copies: the time is that of no lucky or unlucky place in
    memory. (A table's networks are loaded once each, they are many.)
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
    with quiet(device), pinned(pin, device.threads):
        watch = Interleaved(seed, repeats.rounds, repeats.visit_ms, reference_workload(device))
        watch.run({"network": prepare_copies(module, shape, device, LOADS)})
    module.train(training)
    return measurements(watch.visits)["network"]
