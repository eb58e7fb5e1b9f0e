"""The largest width of each family that is within the budgets.

Latency is a matter of the table where its rows are those of the network; else of a measurement, and of few: a first
guess says where to begin, each measured width corrects it for its family, and widths are tried until the largest one
that fits and the one above it are measured, those of all families together in one job. The guess saves measurements and
decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nas.derive.verdict import Asked
from nas.latency.measuring.network_time import NetworkTime
from nas.search.references.request import Family
from search_spaces.arch import Arch

ROUNDS = 12  # of measuring, at most: a ladder of 64 widths is halved to the end, whatever the guess is worth

Times = Mapping[str, NetworkTime]
"""By arch's id."""


@dataclass(frozen=True)
class Width:
    """A network of a family: its multiplier (None: as it is) and its arch."""

    multiplier: float | None
    arch: Arch


def within_counts(arch: Arch, asked: Asked) -> bool:
    """Whether `arch` holds the budgets on what an arch alone decides; one on energy is not looked at."""
    counted = asked.counted
    has = {
        "macs": lambda: arch.macs,
        "params": lambda: arch.params,
        "memory_kib": lambda: arch.memory_kib(counted),
        "weights_kib": lambda: arch.weights_kib(counted),
    }
    return all(has[limit.name]() <= limit.limit for limit in asked.others if limit.name in has)


def widths_of(family: Family, asked: Asked) -> list[Width]:
    """The widths of `family` within the budgets but that on latency, narrow to wide."""
    found = []
    for multiplier, arch in family.ladder:
        if not within_counts(arch, asked):
            break
        found.append(Width(multiplier, arch))
    return found


@dataclass
class Hunt:
    """The search for the largest of `widths` whose time is within `ceiling_ms`.

    `guesses`: milliseconds of each, right to a factor at best; `known`: those of the measured ones, by index.
    """

    widths: Sequence[Width]
    guesses: Sequence[float]
    ceiling_ms: float
    known: dict[int, float] = field(default_factory=dict)
    left_before: int = 0

    @property
    def fits(self) -> int:
        """The largest width known to fit; -1: none."""
        return max((i for i, ms in self.known.items() if ms <= self.ceiling_ms), default=-1)

    @property
    def over(self) -> int:
        """The smallest width known not to fit; their number: none."""
        return min((i for i, ms in self.known.items() if ms > self.ceiling_ms), default=len(self.widths))

    def next(self) -> list[int]:
        """The widths to be measured next; none where the largest that fits is known, or that none does.

        The widest that probably fits, and with it, once some width is known to fit, the one above; the middle of what
        is left where the last round has not halved it.
        """
        left = range(self.fits + 1, self.over)
        slow, self.left_before = 2 * len(left) > self.left_before > 0, len(left)
        if not left:
            return []
        expected = [self._expected(i) for i in left]
        likely = [i for i, ms in zip(left, expected, strict=True) if ms <= self.ceiling_ms]
        widest = likely[-1] if likely else left[0]
        if self.fits < 0:
            misses = len(self.known)
            return [min(widest, self.over // 3) if misses > 1 else widest]
        if slow:
            return [left[len(left) // 2]]
        return likely[-1:] + [i for i in left if not likely or i > likely[-1]][:1]

    def _expected(self, index: int) -> float:
        """Milliseconds of the width `index`: the guess, corrected by what is known on either side of the ceiling."""
        ends = [i for i in (self.fits, self.over) if i in self.known]
        if not ends:
            return self.guesses[index]
        factors = [self.known[i] / self.guesses[i] for i in ends]
        if len(ends) == 1:
            return self.guesses[index] * factors[0]
        share = (index - ends[0]) / (ends[1] - ends[0])
        return float(self.guesses[index] * factors[0] ** (1 - share) * factors[1] ** share)

    def tell(self, index: int, ms: float) -> None:
        """The width `index` takes `ms`."""
        self.known[index] = ms


def hunted(
    hunts: Mapping[str, Hunt], times_of: Callable[[Sequence[Arch]], Times]
) -> dict[str, tuple[Width, NetworkTime]]:
    """By name, the largest width that fits and its time; what fits at no width is missing.

    `times_of(archs)`: their times by id, measured in one job where they are not known.
    """
    found: dict[str, NetworkTime] = {}
    for _ in range(ROUNDS):
        wanted = [(name, index) for name, hunt in hunts.items() for index in hunt.next()]
        if not wanted:
            break
        found |= times_of([hunts[name].widths[index].arch for name, index in wanted])
        for name, index in wanted:
            hunts[name].tell(index, found[hunts[name].widths[index].arch.id].latency_ms)
    best = {name: hunt.widths[hunt.fits] for name, hunt in hunts.items() if hunt.fits >= 0}
    return {name: (width, found[width.arch.id]) for name, width in best.items()}
