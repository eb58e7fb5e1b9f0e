"""Visits to workloads: interleaved, and each beside a reference.

A process visits every workload a few times, in an order shuffled anew each time. A visit is one untimed call and then
a few timed ones; its time is the one that a tenth of these stay below, so that what interrupts single calls is left
out. A reference of about the workload's size runs before and after each stretch of visits: what the machine did to it,
it did to them. Where a workload was loaded several times, visits take turns among these copies.

Part of the script that a kit carries (see `kit_script`).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from nas.latency.measuring.timing import Copies, Workload

STRETCH_MS = 100.0  # time between two runs of the reference
REFERENCE_MS = 6.0  # of one run of the reference, at least three calls
LEAST_VISITS = 2  # by a process to a workload, that a limit on time leaves
MOST_MS = 1e7  # of a call, nearly three hours: a larger value cannot be a time
UNDISTURBED = 10  # one in so many calls is quicker than the time of its visit


@dataclass(frozen=True)
class Visit:
    """One visit to a workload by a process: undisturbed milliseconds, the reference's around them, number of calls,
    which process it was, and the median of the calls as they were."""

    ms: float
    reference_ms: float
    calls: int
    process: int
    now_ms: float

    def numbers(self) -> list[float]:
        return list(astuple(self))


Visits = dict[str, dict[int, Visit]]
"""Visits by workload and turn. Turns are counted through all processes."""


def visit_of(numbers: Any) -> Visit | None:
    """The visit with these `numbers`, in the order of its fields; None where they cannot be one's."""
    if not isinstance(numbers, list | tuple) or len(numbers) != 5:
        return None
    ms, reference_ms, calls, process, now_ms = numbers
    if not _is_whole(calls, 1) or not _is_whole(process, 0):
        return None
    for time in (ms, reference_ms, now_ms):
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 < time <= MOST_MS:
            return None
    return Visit(float(ms), float(reference_ms), calls, process, float(now_ms))


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10**6


def undisturbed(times: Sequence[float]) -> float:
    """The time that a tenth of `times` stay below; the least of ten or fewer."""
    return sorted(times)[(len(times) - 1) // UNDISTURBED]


@dataclass
class Interleaved:
    """Visits by one process.

    `references`: by name of their size; `rungs`: which of them each workload stands beside (all beside the only one
    where nothing is said). `record(key, turn, visit)` is told of every visit as it is made.
    """

    seed: int
    visit_ms: float
    references: Mapping[str, Workload]
    record: Callable[[str, int, Visit], None]
    rungs: Mapping[str, str] = field(default_factory=dict)
    process: int = 0

    def run(
        self, workloads: Mapping[str, Copies], turns: Mapping[str, Sequence[int]], minutes: float = math.inf
    ) -> None:
        """Make the visits `turns` to each of `workloads`, or as many as `minutes` allow, at least `LEAST_VISITS`."""
        calls = {key: self._calls(first, self.visit_ms, 2) for key, (first, *_) in workloads.items()}
        beside = {key: self.rungs.get(key) or next(iter(self.references)) for key in workloads}
        self.reference_calls = {r: self._calls(self.references[r], REFERENCE_MS, 3) for r in set(beside.values())}
        pass_ms = sum((1 + count) * ms for count, ms in calls.values())
        affordable = max(LEAST_VISITS, int(min(60e3 * minutes / max(pass_ms, 1e-4), 1e6)))
        for i in range(min(affordable, max(map(len, turns.values()), default=0))):
            order = random.Random(f"{self.seed}/{self.process}/{i}")
            rungs = sorted(self.reference_calls)
            order.shuffle(rungs)
            for rung in rungs:
                todo = [key for key in sorted(workloads) if beside[key] == rung and i < len(turns.get(key, ()))]
                order.shuffle(todo)
                self._stretches([(key, turns[key][i]) for key in todo], workloads, {k: calls[k][0] for k in todo}, rung)

    def _calls(self, workload: Workload, visit_ms: float, least: int) -> tuple[int, float]:
        """How many calls a visit times, and the milliseconds of one."""
        workload(1)
        ms = max(min(workload(2)), 1e-4)
        return max(least, min(50, math.ceil(visit_ms / ms))), ms

    def _stretches(
        self, order: list[tuple[str, int]], workloads: Mapping[str, Copies], calls: Mapping[str, int], rung: str
    ) -> None:
        stretch: list[tuple[str, int, list[float]]] = []
        spent = 0.0
        before = self._reference_ms(rung) if order else 0.0
        for i, (key, turn) in enumerate(order):
            copy = workloads[key][turn % len(workloads[key])]
            copy(1)
            times = copy(calls[key])
            stretch.append((key, turn, times))
            spent += sum(times)
            if spent >= STRETCH_MS or i == len(order) - 1:
                after = self._reference_ms(rung)
                for name, at, took in stretch:
                    now = statistics.median(took)
                    visit = Visit(undisturbed(took), (before + after) / 2, len(took), self.process, now)
                    self.record(name, at, visit)
                stretch, spent, before = [], 0.0, after

    def _reference_ms(self, rung: str) -> float:
        self.references[rung](1)
        return undisturbed(self.references[rung](self.reference_calls[rung][0]))
