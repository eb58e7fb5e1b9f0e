"""What a family of published networks says of itself, for the zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.arch import Arch
from search_spaces.resolution import Resolution

CLASSES, CHANNELS = 1000, 3  # of ImageNet
TIMM = "timm results-imagenet.csv"
TENSORFLOW_EPS = 1e-3  # of batch norms ported from TensorFlow and Keras


@dataclass(frozen=True)
class Figures:
    """Published ImageNet-1k accuracy in percent, the image size it was measured at, and the source."""

    top1_percent: float
    top5_percent: float | None
    resolution: Resolution
    source: str


@dataclass(frozen=True)
class Multipliers:
    """A network of a family that is scaled as a whole: multipliers of channels and of blocks per stage, pixels."""

    width: float
    depth: float
    resolution: int


@dataclass(frozen=True)
class Family:
    """A family of published networks: its paper, what distinguishes its networks, and published accuracies, by name.

    `build(form, num_classes, resolution, in_channels)`: the arch of one of `forms`; None as resolution is the
    network's own. Networks that `figures` does not list have no published accuracy that we could read in its source;
    `batch_norm_eps` lists those whose batch norms have another epsilon than torch's 1e-5; `num_classes` and
    `in_channels` those that are not made for the 1000 classes and three channels of ImageNet.
    """

    title: str
    paper: str
    arxiv: str
    forms: Mapping[str, Any]
    build: Callable[[Any, int, Resolution | None, int], Arch]
    figures: Mapping[str, Figures]
    batch_norm_eps: Mapping[str, float] = field(default_factory=dict)
    num_classes: Mapping[str, int] = field(default_factory=dict)
    in_channels: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.forms)

    def published(
        self,
        name: str,
        num_classes: int | None = None,
        resolution: Resolution | None = None,
        in_channels: int | None = None,
    ) -> Arch:
        """The network called `name`; what is left None is as published. Raises `ValueError` for other names."""
        if name not in self.forms:
            raise ValueError(f"unknown {self.title} {name!r}; one of {', '.join(self.forms)}")
        classes = self.num_classes.get(name, CLASSES) if num_classes is None else num_classes
        channels = self.in_channels.get(name, CHANNELS) if in_channels is None else in_channels
        return self.build(self.forms[name], classes, resolution, channels)


def of_multipliers(
    network: Callable[[float, float, Resolution, int, int], Arch],
) -> Callable[[Multipliers, int, Resolution | None, int], Arch]:
    """`Family.build` for forms that are `Multipliers`.

    `network(width, depth, resolution, num_classes, in_channels)` is the arch.
    """

    def build(form: Multipliers, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
        return network(form.width, form.depth, resolution or form.resolution, num_classes, in_channels)

    return build
