"""MnasNet (Tan et al., CVPR 2019, arXiv 1807.11626): A1 (Figure 7), B1 and Small, at any width multiplier."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, SqueezeExcite
from search_spaces.costs import make_divisible
from search_spaces.families import rows
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.rows import Row
from search_spaces.resolution import Resolution

HEAD_CHANNELS = 1280
SE = SqueezeExcite(0.25, of="input", divisor=1)


@dataclass(frozen=True)
class Table:
    """Channels of the stem, and the rows of the block stages."""

    stem: int
    stages: tuple[tuple[Row, ...], ...]


# kernel, expand_ratio, channels, repeats, stride of the first block
TABLES = {
    "a1": Table(
        32,
        (
            (Row(3, 1, 16, residual=False),),
            (Row(3, 6, 24, 2, 2),),
            (Row(5, 3, 40, 3, 2, se=SE),),
            (Row(3, 6, 80, 4, 2),),
            (Row(3, 6, 112, 2, se=SE),),
            (Row(5, 6, 160, 3, 2, se=SE),),
            (Row(3, 6, 320),),
        ),
    ),
    "b1": Table(
        32,
        (
            (Row(3, 1, 16, residual=False),),
            (Row(3, 3, 24, 3, 2),),
            (Row(5, 3, 40, 3, 2),),
            (Row(5, 6, 80, 3, 2),),
            (Row(3, 6, 96, 2),),
            (Row(5, 6, 192, 4, 2),),
            (Row(3, 6, 320, residual=False),),
        ),
    ),
    "small": Table(
        8,
        (
            (Row(3, 1, 8),),
            (Row(3, 3, 16, 1, 2),),
            (Row(3, 6, 16, 2, 2),),
            (Row(5, 6, 32, 4, 2, se=SE),),
            (Row(3, 6, 32, 3, se=SE),),
            (Row(5, 6, 88, 3, 2, se=SE),),
            (Row(3, 6, 144),),
        ),
    ),
}


def mnasnet(
    form: str = "b1", width: float = 1.0, resolution: Resolution = 224, num_classes: int = 1000, in_channels: int = 3
) -> Arch:
    """MnasNet `a1` (with squeeze-and-excitation), `b1` (without) or `small`, with `width` times the channels.

    Channels, those of the stem too, are rounded to multiples of 8 and never fall by more than a tenth; the head keeps
    its own. Raises `ValueError` for another form and for a width that is not positive.
    """
    check_multipliers(width=width)
    if form not in TABLES:
        raise ValueError(f"unknown MnasNet form {form!r}; one of {', '.join(TABLES)}")
    table = TABLES[form]
    stages = (
        (ConvBNAct(make_divisible(table.stem * width), 3, 2),),
        *rows.stages(table.stages, width),
        (ConvBNAct(HEAD_CHANNELS), Classifier(num_classes)),
    )
    return Arch(resolution, stages, in_channels)


PUBLISHED: dict[str, tuple[str, float]] = {
    "mnasnet_small": ("small", 1.0),
    "mnasnet_050": ("b1", 0.5),
    "mnasnet_075": ("b1", 0.75),
    "mnasnet_100": ("b1", 1.0),
    "mnasnet_140": ("b1", 1.4),
    "semnasnet_050": ("a1", 0.5),
    "semnasnet_075": ("a1", 0.75),
    "semnasnet_100": ("a1", 1.0),
    "semnasnet_140": ("a1", 1.4),
}


def _arch(form: tuple[str, float], num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    return mnasnet(*form, resolution or 224, num_classes, in_channels)


FIGURES: dict[str, Figures] = {
    "mnasnet_small": Figures(66.204, 86.470, 224, TIMM),
    "mnasnet_100": Figures(74.672, 92.108, 224, TIMM),
    "semnasnet_075": Figures(73.000, 91.124, 224, TIMM),
    "semnasnet_100": Figures(75.452, 92.608, 224, TIMM),
}
FAMILY = Family(
    "MnasNet",
    "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
    "1807.11626",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
