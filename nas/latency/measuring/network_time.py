"""The time of one whole network, measured by itself."""

from __future__ import annotations

from dataclasses import dataclass

FILE = "file"  # the key of a file that is measured
NOTED = 0.10  # a machine that is slower or faster than when its calm speed was seen by more than this is told of


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """Milliseconds of one batch through a network.

    `latency_ms` is what is compared with a budget: the time at the calm speed of the reference, that of the table where
    there is one. `now_ms` is the wall-clock time at the moment of measuring, `slowdown` how many times slower than calm
    the reference was meanwhile; `spread_ms` half the interquartile range of the processes that measured, of which there
    were `processes`, and `error` the standard error of the time as a share of it.
    """

    latency_ms: float
    now_ms: float
    spread_ms: float
    slowdown: float = 1.0
    processes: int = 1
    error: float = 0.0

    @property
    def note(self) -> str:
        """What is to be said beside the time where the machine is not as fast as the time stands for; else empty."""
        if abs(self.slowdown - 1) <= NOTED:
            return ""
        change = "slower" if self.slowdown > 1 else "faster"
        percent = 100 * abs(self.slowdown - 1)
        return f"measured now: {self.now_ms:.4g} ms, on a machine {percent:.0f}% {change} than that time stands for"
