"""The found network as references are held against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.data import ImageData
from nas.search.references.reference import Reference
from nas.search.setup import SearchSetup
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe


@dataclass(frozen=True)
class Against:
    """A found network: its `arch` and `recipe`, the `data` and test `figures` of its training (empty: none), its
    latency and the most that was asked (milliseconds, None: unknown, not asked), the `seconds` that the search took."""

    setup: SearchSetup
    arch: Arch
    recipe: Recipe
    data: ImageData
    figures: Mapping[str, Any]
    latency_ms: float | None
    ceiling_ms: float | None
    seconds: float

    @property
    def train_seconds(self) -> float:
        return float(self.figures.get("train_seconds", 0.0))

    @property
    def top1_percent(self) -> float | None:
        return self.figures.get("top1_percent")

    def ahead(self, references: tuple[Reference, ...]) -> tuple[Reference, ...]:
        """The references that are more accurate at no more latency than was asked, best first.

        Without a budget on latency: at no more than the found network's.
        """
        found = self.top1_percent
        most = self.latency_ms if self.ceiling_ms is None else self.ceiling_ms
        better = [
            (one.top1_percent, one)
            for one in references
            if one.top1_percent is not None and found is not None and one.top1_percent > found
            if most is None or (one.latency_ms is not None and one.latency_ms <= most)
        ]
        return tuple(one for _, one in sorted(better, key=lambda pair: -pair[0]))
