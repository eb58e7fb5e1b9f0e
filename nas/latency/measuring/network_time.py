"""The time of one whole network, measured by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkTime:
    """Milliseconds of one batch through a network.

    `latency_ms` is what is compared with a budget, `now_ms` the wall-clock time at the moment of measuring;
    `spread_ms`: half the interquartile range of the visits.
    """

    latency_ms: float
    now_ms: float
    spread_ms: float
