"""The largest width of each family that is within the budgets.

Latency is a matter of the table where its rows are those of the network; else of a measurement, and of few: a first
guess says where to begin, each measured width corrects it for its family, and widths are tried until the largest one
that fits is known, those of all families together in one job.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nas.derive.verdict import Asked
from nas.latency.measuring.network_time import NetworkTime
from nas.search.references.request import Family
from search_spaces.arch import Arch

ROUNDS = 6  # of measuring, at most
NEAR = 1.1  # widths expected to exceed the ceiling by less than this are measured rather than believed to

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

    `guesses`: milliseconds of each, right to a factor. `fits`, `over`: the largest known to fit, the smallest known not
    to (-1 and their number at first).
    """

    widths: Sequence[Width]
    guesses: Sequence[float]
    ceiling_ms: float
    factor: float = 1.0
    fits: int = -1
    over: int = field(default=-1)
    is_told: bool = False
    misses: int = 0

    def __post_init__(self) -> None:
        self.over = len(self.widths)

    def next(self) -> list[int]:
        """The widths to be measured next; none where the largest that fits is known, or that none does.

        The widest that probably fits, and once something is known of the family the one above it, if it is near.
        """
        left = range(self.fits + 1, self.over)
        expected = {i: self.factor * self.guesses[i] for i in left}
        likely = [i for i in left if expected[i] <= self.ceiling_ms]
        above = [i for i in left if self.ceiling_ms < expected[i] <= NEAR * self.ceiling_ms][:1]
        if (
            self.fits < 0 and self.misses > 1 and left
        ):  # the guess is too low the more so the narrower the network is: cut down
            return [min(likely[-1] if likely else 0, self.over // 3)]
        if self.is_told and (likely or self.fits >= 0):
            return likely[-1:] + above
        return likely[-1:] or list(left[:1])

    def tell(self, index: int, ms: float) -> None:
        """The width `index` takes `ms`."""
        self.factor, self.is_told = ms / self.guesses[index], True
        if ms <= self.ceiling_ms:
            self.fits = max(self.fits, index)
        else:
            self.over = min(self.over, index)
            self.misses += 1


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
