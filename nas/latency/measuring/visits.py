"""Visits to workloads, interleaved, repeated and watched.

Every workload is visited once a round, in an order shuffled anew each round, so that slow drift of the machine hits all
alike. A fixed reference workload runs before and after each stretch of visits; visits of a stretch in which the
reference was slow are made again. A workload's time is the median over its visits, each visit being the median of a few
calls behind one untimed call. Where a workload was loaded several times, visits take turns among these copies.

Part of the script that a kit carries (see `kit_script`).
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nas.latency.measuring.timing import Copies, Workload

STRETCH_MS = 200.0  # time between two runs of the reference
DISTURBED = 1.10  # a stretch whose reference exceeds the run's usual one by this factor is measured again
RETRIES = 3
LEAST_ROUNDS = 6  # that a limit on time leaves
MOST_MS = 1e7  # of a call, nearly three hours: a larger value cannot be a time


@dataclass(frozen=True)
class Visit:
    """One visit to a workload: its time, the reference's time around it, and how many calls were timed."""

    ms: float
    reference_ms: float
    calls: int


Visits = dict[str, dict[int, Visit]]


def keep_quieter(visits: Visits, key: str, turn: int, visit: Visit) -> None:
    """Enter `visit` unless the same visit was already made on a quieter machine."""
    known = visits.setdefault(key, {}).get(turn)
    if known is None or visit.reference_ms < known.reference_ms:
        visits[key][turn] = visit


def visit_of(numbers: Any) -> Visit | None:
    """The visit with the three `numbers` time, reference's time (ms) and calls; None where they cannot be one's."""
    if not isinstance(numbers, list | tuple) or len(numbers) != 3 or not _is_whole(numbers[2], 1):
        return None
    for ms in numbers[:2]:
        if isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 < ms <= MOST_MS:
            return None
    return Visit(float(numbers[0]), float(numbers[1]), numbers[2])


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10**6


def usual_reference_ms(visits: Visits) -> float:
    """The reference's lower quartile: its time while the machine is left alone at least a quarter of the time."""
    times = [visit.reference_ms for turns in visits.values() for visit in turns.values()]
    return statistics.quantiles(times, n=4)[0] if len(times) > 1 else times[0]


@dataclass(frozen=True)
class Plan:
    """How many calls a visit to each workload times, and how many rounds are made."""

    calls: Mapping[str, int]
    rounds: int


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
    visits: Visits = field(default_factory=dict)

    def plan(self, workloads: Mapping[str, Copies], most_minutes: float = math.inf) -> Plan:
        """The visits that `run` makes: all rounds, or as many as `most_minutes` allow, at least `LEAST_ROUNDS`."""
        calls: dict[str, int] = {}
        round_ms = 0.0
        for key, (first, *_) in workloads.items():
            first(1)
            ms = max(first(1)[0], 1e-4)
            calls[key] = max(2, min(50, math.ceil(self.visit_ms / ms)))
            round_ms += (1 + calls[key]) * ms
        affordable = int(min(60e3 * most_minutes / max(round_ms, 1e-4), self.rounds))
        return Plan(calls, min(self.rounds, max(LEAST_ROUNDS, affordable)))

    def run(
        self,
        workloads: Mapping[str, Copies],
        advance: Callable[[], None] = lambda: None,
        repeating: Callable[[int], None] = lambda count: None,
        plan: Plan | None = None,
    ) -> None:
        """Visit each of `workloads` in every round that lacks it, then again where there was background load.

        `repeating` is told how many visits are made again, at most half of all. `plan`: that of these workloads.
        """
        plan = plan or self.plan(workloads)
        calls = plan.calls
        for turn in range(plan.rounds):
            todo = [key for key in sorted(workloads) if turn not in self.visits.get(key, {})]
            random.Random(f"{self.seed}/order/{turn}").shuffle(todo)
            self._stretches([(key, turn) for key in todo], workloads, calls, advance)
        left = plan.rounds * len(workloads) // 2
        for _ in range(RETRIES):
            again = self._under_load(workloads)[:left]
            if not again:
                break
            left -= len(again)
            repeating(len(again))
            self._stretches(again, workloads, calls, lambda: None)

    def _under_load(self, workloads: Mapping[str, Copies]) -> list[tuple[str, int]]:
        """The visits under background load to `workloads`, the worst first."""
        limit = DISTURBED * usual_reference_ms(self.visits)
        found = [
            (visit.reference_ms, key, turn)
            for key in workloads
            for turn, visit in self.visits[key].items()
            if visit.reference_ms > limit
        ]
        return [(key, turn) for _, key, turn in sorted(found, reverse=True)]

    def _stretches(
        self,
        order: list[tuple[str, int]],
        workloads: Mapping[str, Copies],
        calls: Mapping[str, int],
        advance: Callable[[], None],
    ) -> None:
        stretch: list[tuple[str, int, float]] = []
        spent = 0.0
        before = self._reference_ms() if order else 0.0
        for i, (key, turn) in enumerate(order):
            copy = workloads[key][turn % len(workloads[key])]
            copy(1)
            times = copy(calls[key])
            stretch.append((key, turn, statistics.median(times)))
            spent += sum(times)
            if spent >= STRETCH_MS or i == len(order) - 1:
                after = self._reference_ms()
                for name, at, ms in stretch:
                    visit = Visit(ms, max(before, after), calls[name])
                    self.record(name, at, visit)
                    keep_quieter(self.visits, name, at, visit)
                    advance()
                stretch, spent, before = [], 0.0, after

    def _reference_ms(self) -> float:
        self.reference(1)
        return statistics.median(self.reference(3))
