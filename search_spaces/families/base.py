"""What a family of published networks says of itself, for the zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from search_spaces.arch import Arch

TIMM = "timm results-imagenet.csv"


@dataclass(frozen=True)
class Figures:
    """Published ImageNet-1k accuracy in percent, the image size it was measured at, and the source."""

    top1_percent: float
    top5_percent: float | None
    resolution: int
    source: str


@dataclass(frozen=True)
class Family:
    """A family of published networks: its paper, the function from name to arch, and published accuracies by name.

    `published(name, num_classes, resolution, in_channels)`: None as resolution is the network's own. Networks that
    `figures` does not list have no published accuracy that we could read in its source.
    """

    title: str
    paper: str
    arxiv: str
    names: tuple[str, ...]
    published: Callable[[str, int, int | None, int], Arch]
    figures: Mapping[str, Figures]
