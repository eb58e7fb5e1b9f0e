"""Interleaved, repeated, watched timing.

Every workload is visited once a round, in an order shuffled anew each round, so that slow drift of the machine hits all
alike. A fixed reference workload runs before and after each stretch of visits; visits of a stretch in which the
reference was slow are made again. A workload's time is the median over its visits, each visit being the median of a few
calls behind one untimed call.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

from nas.latency.device import Device, pinned
from nas.latency.runtimes import Workload, prepare, quiet
from nas.network import Network
from nas.seeding import numpy_generator
from search_spaces.arch import Arch
from search_spaces.costs import Shape
from search_spaces.layers import InvertedResidual

STRETCH_MS = 200.0  # time between two runs of the reference
DISTURBED = 1.10  # a stretch whose reference exceeds the run's usual one by this factor is measured again
RETRIES = 3


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit to a workload: its time, the reference's time around it, and how many calls were timed."""

    ms: float
    reference_ms: float
    calls: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """Median over visits, half the interquartile range of the visits, timed calls in all, and the visits' times.

    `reference_ms` is the median time of the reference workload around those visits; `disturbed` says how many of the
    visits remained disturbed after they were tried again.
    """

    median_ms: float
    spread_ms: float
    count: int
    samples: tuple[float, ...]
    reference_ms: float = math.nan
    disturbed: int = 0

    @staticmethod
    def of(visits: list[Visit], usual_reference_ms: float | None = None) -> Measurement:
        times = tuple(visit.ms for visit in visits)
        quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else [times[0]] * 3
        usual = usual_reference_ms if usual_reference_ms is not None else math.inf
        return Measurement(
            statistics.median(times),
            (quartiles[2] - quartiles[0]) / 2,
            sum(visit.calls for visit in visits),
            times,
            statistics.median(visit.reference_ms for visit in visits),
            sum(visit.reference_ms > DISTURBED * usual for visit in visits),
        )


@dataclass
class Interleaved:
    """Visits by workload and round, filled by `run` and possibly begun by an earlier, interrupted process.

    `record(key, round, visit)` is told of every visit as it is made.
    """

    seed: int
    rounds: int
    visit_ms: float
    reference: Workload
    record: Callable[[str, int, Visit], None] = lambda key, turn, visit: None
    visits: dict[str, dict[int, Visit]] = field(default_factory=dict)

    def run(self, workloads: Mapping[str, Workload], advance: Callable[[], None] = lambda: None) -> None:
        """Visit each of `workloads` in every round that lacks it, then again where the machine was disturbed."""
        calls = {key: self._calls(workload) for key, workload in workloads.items()}
        for turn in range(self.rounds):
            todo = [key for key in sorted(workloads) if turn not in self.visits.get(key, {})]
            order = numpy_generator(self.seed, "order", turn).permutation(len(todo))
            self._stretches([(todo[i], turn) for i in order], workloads, calls, advance)
        for _ in range(RETRIES):
            usual = self.usual_reference_ms
            again = [
                (key, turn)
                for key in sorted(workloads)
                for turn, visit in self.visits[key].items()
                if visit.reference_ms > DISTURBED * usual
            ]
            if not again:
                break
            self._stretches(again, workloads, calls, lambda: None)

    @property
    def usual_reference_ms(self) -> float:
        """The reference's lower quartile: its time while the machine is left alone at least a quarter of the time."""
        times = [visit.reference_ms for turns in self.visits.values() for visit in turns.values()]
        return statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]

    def measurement(self, key: str, usual_reference_ms: float | None = None) -> Measurement:
        turns = self.visits[key]
        return Measurement.of([turns[turn] for turn in sorted(turns)], usual_reference_ms)

    def _calls(self, workload: Workload) -> int:
        workload(1)
        return max(2, min(50, math.ceil(self.visit_ms / max(workload(1)[0], 1e-4))))

    def _stretches(
        self,
        order: list[tuple[str, int]],
        workloads: Mapping[str, Workload],
        calls: dict[str, int],
        advance: Callable[[], None],
    ) -> None:
        stretch: list[tuple[str, int, float]] = []
        spent = 0.0
        before = self._reference_ms() if order else 0.0
        for i, (key, turn) in enumerate(order):
            workloads[key](1)
            times = workloads[key](calls[key])
            stretch.append((key, turn, statistics.median(times)))
            spent += sum(times)
            if spent >= STRETCH_MS or i == len(order) - 1:
                after = self._reference_ms()
                for name, at, ms in stretch:
                    self._note(name, at, Visit(ms, max(before, after), calls[name]))
                    advance()
                stretch, spent, before = [], 0.0, after

    def _note(self, key: str, turn: int, visit: Visit) -> None:
        self.record(key, turn, visit)
        keep_quieter(self.visits, key, turn, visit)

    def _reference_ms(self) -> float:
        self.reference(1)
        return statistics.median(self.reference(3))


def keep_quieter(visits: dict[str, dict[int, Visit]], key: str, turn: int, visit: Visit) -> None:
    """Enter `visit` unless the same visit was already made on a quieter machine."""
    known = visits.setdefault(key, {}).get(turn)
    if known is None or visit.reference_ms < known.reference_ms:
        visits[key][turn] = visit


def reference_workload(device: Device) -> Workload:
    """The workload that watches the machine: one 5x5 inverted residual block, about 45 million multiply-adds."""
    shape = Shape(64, 28, 28)
    return prepare(InvertedResidual(64, 5, 1, 6.0).build(shape), shape, device)


def measure_arch_ms(
    arch_or_module: Arch | nn.Module,
    device: Device,
    *,
    input_shape: tuple[int, int, int] | None = None,
    rounds: int = 15,
    visit_ms: float = 50.0,
    pin: bool = False,
    seed: int = 0,
) -> Measurement:
    """Time one batch of `arch_or_module` on this machine, the way a table's own networks are timed.

    An `Arch` is built with random weights (they do not matter for the time); for a module give `input_shape`
    (channels, height, width), unless it carries an `arch`. Under ONNX Runtime the module is written as the graph that
    `torch.onnx.export` gives (see `onnx_graph`). Raises `ValueError` for a device this machine cannot measure for.
    """
    device.check_local()
    if isinstance(arch_or_module, Arch):
        module: nn.Module = Network(arch_or_module)
        shape: tuple[int, int, int] = arch_or_module.input_shape
    else:
        module = arch_or_module
        known = getattr(module, "arch", None)
        if input_shape is None and not isinstance(known, Arch):
            raise ValueError("measuring a module that carries no arch needs input_shape=(channels, height, width)")
        shape = input_shape if input_shape is not None else known.input_shape  # type: ignore[union-attr]
    training = module.training
    with quiet(device), pinned(pin):
        watch = Interleaved(seed, rounds, visit_ms, reference_workload(device))
        watch.run({"network": prepare(module, shape, device)})
    module.train(training)
    return watch.measurement("network", watch.usual_reference_ms)
