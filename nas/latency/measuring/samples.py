"""From visits to times at the reference's calm speed.

With the visits v of process p to a workload, `x_v` their times, `r_v` the reference's around them and `C` the time of
the reference on a calm machine,

    ratio_p = median of x_v / r_v over the half of p's visits with the least r_v
    latency = C * median over processes of ratio_p

A machine slowed by a factor slows both x_v and r_v by it, and the time that comes out stays what it is when calm.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nas.latency.measuring.network_time import NetworkTime
from nas.latency.measuring.visits import Visit, Visits

Ladder = Mapping[str, float]
"""Milliseconds of each reference on a calm machine, by its name."""
QUIETEST = 10  # one in so many runs of a reference is quicker than its calm time
LUCKIER = 0.97  # a reference that is quicker than the time known by less than this has only been lucky


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
    def of(visits: Sequence[Visit], calm_ms: float) -> Measurement:
        """`visits` to a workload in their order; `calm_ms` of the reference beside it."""
        times = process_times(visits, calm_ms)
        count = len(times)
        if count == 1:
            times = [calm_ms * visit.ms / visit.reference_ms for visit in visits]
        quartiles = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else [times[0]] * 3
        halves = [statistics.median(times[half::2] or times) for half in (0, 1)]
        return Measurement(
            statistics.median(times) if count > 1 else process_times(visits, calm_ms)[0],
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


def process_times(visits: Sequence[Visit], calm_ms: float) -> list[float]:
    """`C * ratio_p` of every process, in their order."""
    found = []
    for process in sorted({visit.process for visit in visits}):
        own = sorted((v for v in visits if v.process == process), key=lambda visit: visit.reference_ms)
        calmest = own[: -(-len(own) // 2)]
        found.append(calm_ms * statistics.median(visit.ms / visit.reference_ms for visit in calmest))
    return found


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


def measurements(visits: Visits, rungs: Mapping[str, str], calm: Ladder) -> dict[str, Measurement]:
    """The measurement of every visited workload."""
    return {
        key: Measurement.of([turns[turn] for turn in sorted(turns)], calm[rungs[key]]) for key, turns in visits.items()
    }


def slowdown(found: Collection[Measurement]) -> float:
    """How many times slower than calm the machine was, all in all."""
    return statistics.median(one.slowdown for one in found)
