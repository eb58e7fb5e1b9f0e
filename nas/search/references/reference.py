"""A reference: a network that the found one is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.latency.measuring.network_time import NetworkTime
from search_spaces.arch import Arch


@dataclass(frozen=True)
class Reference:
    """The network `arch` called `name`; `multiplier` of its channels, None of one that is taken as it is.

    `estimated_latency_ms`: by the table, None where it lacks rows of it; `measured`: None where it was not.
    `figures` on the test images, as a training gives them: None where it was not trained. `in_space`: whether it is a
    point of the searched space.
    """

    name: str
    multiplier: float | None
    arch: Arch
    estimated_latency_ms: float | None = None
    measured: NetworkTime | None = None
    figures: Mapping[str, Any] | None = None
    in_space: bool = False

    @property
    def title(self) -> str:
        """Its name for people, with its multiplier."""
        return self.name if self.multiplier is None else f"{self.name} x{self.multiplier:g}"

    @property
    def latency_ms(self) -> float | None:
        """Measured, else estimated milliseconds; None where neither is known."""
        return self.measured.latency_ms if self.measured is not None else self.estimated_latency_ms

    @property
    def top1_percent(self) -> float | None:
        return None if self.figures is None else float(self.figures["top1_percent"])
