"""What a family of published networks says of itself, for the zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.arch import Arch
from search_spaces.resolution import Resolution

TIMM = "timm results-imagenet.csv"


@dataclass(frozen=True)
class Figures:
    """Published ImageNet-1k accuracy in percent, the image size it was measured at, and the source."""

    top1_percent: float
    top5_percent: float | None
    resolution: Resolution
    source: str


@dataclass(frozen=True)
class Family:
    """A family of published networks: its paper, what distinguishes its networks, and published accuracies, by name.

    `build(form, num_classes, resolution, in_channels)`: the arch of one of `forms`; None as resolution is the
    network's own. Networks that `figures` does not list have no published accuracy that we could read in its source;
    `batch_norm_eps` lists those whose batch norms have another epsilon than torch's 1e-5.
    """

    title: str
    paper: str
    arxiv: str
    forms: Mapping[str, Any]
    build: Callable[[Any, int, Resolution | None, int], Arch]
    figures: Mapping[str, Figures]
    batch_norm_eps: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.forms)

    def published(
        self, name: str, num_classes: int = 1000, resolution: Resolution | None = None, in_channels: int = 3
    ) -> Arch:
        """The network called `name`, at its own resolution unless another is given. Raises `ValueError` for others."""
        if name not in self.forms:
            raise ValueError(f"unknown {self.title} {name!r}; one of {', '.join(self.forms)}")
        return self.build(self.forms[name], num_classes, resolution, in_channels)
