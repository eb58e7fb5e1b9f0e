"""Networks that prove to be within a budget when they are measured: derive, measure, derive again.

What a search and `nas.derive` share. A budget is one on measured time, an estimate is not: a network that measures too
slow gives way to one estimated lower, and where that went too far down (a measurement was noisy) the way goes back up.

How far down one measured too slow says to go is judged by what is known of its noise: with the measurement m of an
estimate e, its standard error s, and the error t that the table's margin says estimates have (both as shares),

    slower by   (m / e) ^ (t^2 / (t^2 + s^2))

is the most probable true factor. A certain measurement is taken at its word; one that says less than the estimate moves
the limit little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nas.derive.budget import Budget
from nas.derive.most_probable import NothingWithin
from nas.latency.measuring.network_time import NetworkTime
from nas.terminal.progress import Advance, log, phase
from search_spaces.space import Genotype

ENOUGH = 0.8  # of the budget: a network below that, after another one missed it, is tried again upwards
MARGIN_DEVIATIONS = 1.28  # a margin is a 90% quantile of a table's errors
LEAST_ERROR = 0.02  # of any table's estimates
CLOSE = 0.01  # estimates known to fit and not to fit that are nearer than this have nothing between them

Propose = Callable[[float, int], Sequence[Genotype]]
"""From a limit on the estimate (ms, infinite without a budget) and a count to that many networks, best first, none
estimated above the limit; to more where they are at hand. Raises `NothingWithin` where there is none."""

Differ = Callable[[Genotype, Genotype], bool]
"""Whether two networks differ by enough to be handed over beside each other."""


@dataclass(frozen=True)
class Clock:
    """The two ways to a network's milliseconds: `estimate` (None: no table), `measure` (None: nothing is measured).

    `measure` gives None for a network that its device, which is elsewhere, has not measured yet.
    """

    estimate: Callable[[Genotype], float] | None = None
    measure: Callable[[Genotype], NetworkTime | None] | None = None


@dataclass(frozen=True)
class Timed:
    """A derived network, its latency estimated and measured (milliseconds; None: not asked).

    `measured_ms` stands at the table's conditions; `now_ms` is what it was at the time, `note` what is to be said of
    that, and `error` the standard error of the measurement as a share of it.
    """

    genotype: Genotype
    estimated_ms: float | None
    measured_ms: float | None
    now_ms: float | None = None
    note: str = ""
    error: float = 0.0


@dataclass(frozen=True)
class Derived:
    """Derived networks, best first; `rounds` is how many had to be derived before the first one held its budget."""

    networks: tuple[Timed, ...]
    rounds: int

    @property
    def first(self) -> Timed:
        return self.networks[0]

    @property
    def genotypes(self) -> tuple[Genotype, ...]:
        return tuple(network.genotype for network in self.networks)


def within_budget(
    propose: Propose, clock: Clock, budget: Budget | None, count: int, rounds: int, differ: Differ = lambda a, b: True
) -> Derived:
    """The `count` best networks (fewer where there are no more) that prove to be within `budget`, any two `differ`.

    First one is sought, for which `rounds` are derived and measured at most, then the others: see `_Sought`. Where no
    network proves to be within the budget, the fastest one seen is all there is. Without a measurement estimates decide
    alone, for all networks or for those not measured yet. Raises `NothingWithin` where nothing is even estimated within
    the budget.
    """
    limit = budget.limit_ms if budget else np.inf
    with phase("deriving" + (" and measuring" if clock.measure else ""), None, "network") as advance:  # often one is
        watch = _Watch(clock, advance)  # good
        if budget is None or clock.measure is None:
            chosen: list[Genotype] = []
            for genotype in propose(limit, count):
                if len(chosen) < count and all(differ(genotype, other) for other in chosen):
                    chosen.append(genotype)
            return Derived(tuple(watch.time(genotype) for genotype in chosen), 1)
        sought = _Sought(propose, watch, budget, count, rounds, differ)
        first, limit = sought.first()
        derived = len(watch.seen)
        networks = [first]
        if _fits(first, budget) and count > 1:
            networks = sought.all(first, limit)
    return Derived(tuple(networks), derived)


class _Watch:
    """Times networks, each once."""

    def __init__(self, clock: Clock, advance: Advance) -> None:
        self.clock, self.advance = clock, advance
        self.seen: dict[Genotype, Timed] = {}

    def time(self, genotype: Genotype) -> Timed:
        genotype = tuple(int(gene) for gene in genotype)
        if genotype not in self.seen:
            estimated = self.clock.estimate(genotype) if self.clock.estimate else None
            time = self.clock.measure(genotype) if self.clock.measure else None
            measured = time.latency_ms if time else None
            known = (time.now_ms, time.note, time.error) if time else ()
            self.seen[genotype] = Timed(genotype, estimated, measured, *known)
            if time and time.note:
                log(time.note)
            said = [f"{ms:.4g} ms {how}" for ms, how in ((measured, "measured"), (estimated, "estimated")) if ms]
            self.advance(1, ", ".join(said))
        return self.seen[genotype]


@dataclass(frozen=True)
class _Sought:
    """The search for `count` networks within a budget; the names are those of `within_budget`."""

    propose: Propose
    watch: _Watch
    budget: Budget
    count: int
    rounds: int
    differ: Differ

    def first(self) -> tuple[Timed, float]:
        """The best network that proves to be within the budget, and the limit on the estimate it was derived below.

        One measured above the budget is derived again with its estimate lowered by the excess. Once one fits, but takes
        less than `ENOUGH` of the budget, the limit is sought by bisection between the highest one known to fit and the
        lowest estimate known not to; where none is known not to, the margin is given up first. The fastest network
        seen, where none fits. A network that cannot be measured yet is the end of it, unless one before it fits.
        """
        budget, asked_ms = self.budget, self.budget.asked_ms
        limit, high = budget.limit_ms, np.inf
        best: tuple[Timed, float] | None = None
        while len(self.watch.seen) < self.rounds:
            try:
                found = self.watch.time(self.propose(limit, self.count)[0])
            except NothingWithin:
                if not self.watch.seen:
                    raise
                break
            assert found.estimated_ms is not None
            if found.measured_ms is None:
                return best or (found, limit)
            if _fits(found, budget):
                best = (found, limit)
                if np.isinf(high):
                    if found.measured_ms >= ENOUGH * asked_ms or limit >= (1 - CLOSE) * asked_ms:
                        break
                    limit = asked_ms
                    continue
                if found.measured_ms >= ENOUGH * asked_ms or high - limit <= CLOSE * high:
                    break
            else:
                high = min(high, found.estimated_ms)
            if best is None:
                limit = max(budget.low_ms, min(limit, high, (1 - CLOSE) * high, asked_ms / _slower(found, budget)))
                if limit >= high:
                    break
                log(f"measured {found.measured_ms:.4g} ms for {asked_ms:.4g} ms: deriving below {limit:.4g} ms")
            else:
                limit = (best[1] + high) / 2
                log(f"{best[0].measured_ms:.4g} ms leave much of {asked_ms:.4g} ms: deriving below {limit:.4g} ms")
        if best is not None:
            return best
        return min(self.watch.seen.values(), key=lambda timed: timed.measured_ms or 0.0), limit

    def all(self, first: Timed, limit: float) -> list[Timed]:
        """The `count` best networks within the budget, once it is known that the `first` one below `limit` is.

        That a better one measured too slow, and had the limit lowered for it, says little of others: they are measured
        from the best on, until `rounds` of them were too slow, and then those below the lowered limit, likewise. Where
        that ended the last look, there is one more, below what is left of the budget by how much slower these were.
        """
        taken: list[Timed] = []
        bounds, slower, is_last = sorted({limit, self.budget.limit_ms}), list[float](), False
        while bounds:
            bound, too_slow = bounds.pop(), 0
            for proposed in self._proposed(bound):
                genotype = tuple(int(gene) for gene in proposed)
                if len(taken) == self.count or too_slow == self.rounds:
                    break
                if not self._is_apart(genotype, taken):
                    continue
                is_new = genotype not in self.watch.seen
                timed = self.watch.time(genotype)
                if _fits(timed, self.budget):
                    taken.append(timed)
                elif is_new:
                    too_slow += 1
                    slower.append((timed.measured_ms or 0.0) / (timed.estimated_ms or np.inf))
            if not bounds and too_slow == self.rounds and not is_last:
                bounds, is_last = [min(bound, self.budget.asked_ms / float(np.median(slower)))], True
        return taken or [first]

    def _proposed(self, bound: float) -> Sequence[Genotype]:
        try:
            return self.propose(bound, self.count + self.rounds)
        except NothingWithin:
            return []

    def _is_apart(self, genotype: Genotype, taken: Sequence[Timed]) -> bool:
        return all(genotype != other.genotype and self.differ(genotype, other.genotype) for other in taken)


def _slower(found: Timed, budget: Budget) -> float:
    """How many times slower than estimated a network most probably is that measured too slow."""
    assert found.estimated_ms is not None and found.measured_ms is not None
    table = max(budget.margin / MARGIN_DEVIATIONS, LEAST_ERROR)
    trust = table**2 / (table**2 + found.error**2)
    return float((found.measured_ms / found.estimated_ms) ** trust)


def _fits(timed: Timed, budget: Budget) -> bool:
    """Whether the measurement is within the budget, or is still to be made."""
    return timed.measured_ms is None or timed.measured_ms <= budget.ceiling_ms
