"""From visits to times at the reference's calm speed.

With the visits v of process p to a workload, `x_v` their times, `r_v` the reference's around them and `C` the time of
the reference on a calm machine,

    time_p  = median of x_v (C / r_v)^elasticity over the half of p's visits with the least r_v
    latency = median over processes of time_p

A machine slowed by a factor slows both x_v and r_v by it, and the time that comes out stays what it is when calm. A
neighbour that streams memory slows the reference more than a workload that streams less: what share of the reference's
slowing (of its logarithm) workloads feel is their elasticity (`nas.latency.measuring.elasticity`), 1 where nothing is
known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.visits import Visit, Visits

Ladder = Mapping[str, float]
"""Milliseconds of each reference on a calm machine, by its name."""
Elasticity = Mapping[str, float]
"""What share of a reference's slowing the workloads beside it feel, by the reference's name; 1 where it has no name."""
QUIETEST = 10  # one in so many runs of a reference is quicker than its calm time
LUCKIER = 0.97  # a reference that is quicker than the time known by less than this has only been lucky


@dataclass(frozen=True, slots=True)
class Conditions:
    """What times stand at: the references' calm times, and how much workloads feel of what slows these."""

    calm_ms: Ladder
    elasticity: Elasticity = field(default_factory=dict)

    @staticmethod
    def of_table(environment: Mapping[str, Any]) -> Conditions | None:
        """Those of the table with this `environment`; None where it was made before tables stated them."""
        calm_ms = environment.get("calm_ms")
        return None if calm_ms is None else Conditions(calm_ms, environment.get("elasticity", {}))

    def beside(self, seen: Ladder) -> Conditions:
        """These, and for references that no row of the table was compared with their calm times as they were `seen`."""
        return replace(self, calm_ms={**seen, **self.calm_ms})


@dataclass(frozen=True, slots=True)
class Measurement:
    """A time at the reference's calm speed, and how it came about; milliseconds.

    `spread_ms` is half the interquartile range of the processes' times (of the visits' where one process made all),
    `count` the timed calls in all, `halves_ms` the times of even and of odd processes (visits), `now_ms` the time as it
    was, `slowdown` how many times slower than calm the reference was meanwhile, `processes` how many there were.
    """

    median_ms: float
    spread_ms: float
    count: int
    halves_ms: tuple[float, float]
    now_ms: float = math.nan
    slowdown: float = 1.0
    processes: int = 1

    @staticmethod
    def of(visits: Sequence[Visit], calm_ms: float, elasticity: float = 1.0) -> Measurement:
        """`visits` to a workload in their order; `calm_ms` of the reference beside it."""
        times = process_times(visits, calm_ms, elasticity)
        count = len(times)
        if count == 1:
            times = [_at_calm_speed(visit, calm_ms, elasticity) for visit in visits]
        quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
        halves = [statistics.median(times[half::2] or times) for half in (0, 1)]
        return Measurement(
            statistics.median(times) if count > 1 else process_times(visits, calm_ms, elasticity)[0],
            (quartiles[2] - quartiles[0]) / 2,
            sum(visit.calls for visit in visits),
            (halves[0], halves[1]),
            statistics.median(visit.now_ms for visit in visits),
            statistics.median(visit.reference_ms for visit in visits) / calm_ms,
            count,
        )

    @property
    def error(self) -> float:
        """Standard error of the time, as a share of it: that of a median of normal values with such quartiles."""
        return 1.2533 * self.spread_ms / 0.6745 / max(self.processes, 1) ** 0.5 / self.median_ms

    def of_network(self) -> NetworkTime:
        """As the time of a network that is measured by itself."""
        return NetworkTime(self.median_ms, self.now_ms, self.spread_ms, self.slowdown, self.processes, self.error)


def process_times(visits: Sequence[Visit], calm_ms: float, elasticity: float = 1.0) -> list[float]:
    """`time_p` of every process, in their order."""
    found = []
    for process in sorted({visit.process for visit in visits}):
        own = sorted((v for v in visits if v.process == process), key=lambda visit: visit.reference_ms)
        calmest = own[: -(-len(own) // 2)]
        found.append(statistics.median(_at_calm_speed(visit, calm_ms, elasticity) for visit in calmest))
    return found


def _at_calm_speed(visit: Visit, calm_ms: float, elasticity: float) -> float:
    return float(visit.ms * (calm_ms / visit.reference_ms) ** elasticity)


def calm_speed(visits: Visits, rungs: Mapping[str, str]) -> dict[str, float]:
    """The time of each reference that a tenth of its runs stay below; `rungs`: which one stood beside each workload."""
    runs: dict[str, list[float]] = {}
    for key, turns in visits.items():
        runs.setdefault(rungs[key], []).extend(visit.reference_ms for visit in turns.values())
    return {rung: sorted(times)[(len(times) - 1) // QUIETEST] for rung, times in runs.items()}


def calmer(known: Ladder, seen: Ladder) -> dict[str, float]:
    """What is `known` of the machine's calm speed, with what was now `seen` where that is news."""
    fresh = {rung: ms for rung, ms in seen.items() if rung not in known or ms < LUCKIER * known[rung]}
    return {**known, **fresh}


def measurements(visits: Visits, rungs: Mapping[str, str], at: Conditions) -> dict[str, Measurement]:
    """The measurement of every visited workload."""
    found = {}
    for key, turns in visits.items():
        rung = rungs[key]
        in_order = [turns[turn] for turn in sorted(turns)]
        found[key] = Measurement.of(in_order, at.calm_ms[rung], at.elasticity.get(rung, 1.0))
    return found


def slowdown(found: Collection[Measurement]) -> float:
    """How many times slower than calm the machine was, all in all."""
    return statistics.median(one.slowdown for one in found)
