"""The published networks by name, with their published figures and where those come from."""

from __future__ import annotations

import difflib

from search_spaces.arch import Arch
from search_spaces.families import (
    fbnet,
    hardcorenas,
    lcnet,
    mlperf_tiny,
    mnasnet,
    mobilenetv3,
    mobilenetv4,
    single_path,
    tinynet,
)
from search_spaces.families.base import Family, Figures
from search_spaces.families.efficientnet import edge, v2
from search_spaces.families.efficientnet import published as efficientnet
from search_spaces.families.fbnetv3 import published as fbnetv3
from search_spaces.families.hand_made import plain
from search_spaces.families.mobilenetv2 import published as mobilenetv2
from search_spaces.families.rexnet import published as rexnet
from search_spaces.resolution import Resolution

FAMILIES: dict[str, Family] = {
    "fbnet": fbnet.FAMILY,
    "fbnetv3": fbnetv3.FAMILY,
    "single_path": single_path.FAMILY,
    "mnasnet": mnasnet.FAMILY,
    "hardcorenas": hardcorenas.FAMILY,
    "mobilenetv2": mobilenetv2.FAMILY,
    "mobilenetv3": mobilenetv3.FAMILY,
    "mobilenetv4": mobilenetv4.FAMILY,
    "efficientnet": efficientnet.FAMILY,
    "efficientnet_edge": edge.FAMILY,
    "efficientnetv2": v2.FAMILY,
    "tinynet": tinynet.FAMILY,
    "rexnet": rexnet.FAMILY,
    "lcnet": lcnet.FAMILY,
    "mlperf_tiny": mlperf_tiny.FAMILY,
    "plain": plain.FAMILY,
}
FAMILY_OF: dict[str, str] = {name: family for family, row in FAMILIES.items() for name in row.names}
FIGURES: dict[str, Figures] = {name: figures for row in FAMILIES.values() for name, figures in row.figures.items()}
BATCH_NORM_EPS: dict[str, float] = {n: eps for row in FAMILIES.values() for n, eps in row.batch_norm_eps.items()}


def published(
    name: str, num_classes: int | None = None, resolution: Resolution | None = None, in_channels: int | None = None
) -> Arch:
    """The published network called `name`; what is left None is as published.

    Raises `ValueError` for an unknown name, with the nearest known ones.
    """
    if name not in FAMILY_OF:
        raise ValueError(f"unknown network {name!r}; {nearest(name)} (python -m nas.zoo lists all)")
    return FAMILIES[FAMILY_OF[name]].published(name, num_classes, resolution, in_channels)


def nearest(name: str) -> str:
    """The published names most like `name`, as a sentence."""
    near = difflib.get_close_matches(name.lower(), list(FAMILY_OF), n=3, cutoff=0.5)
    return f"nearest names: {', '.join(near)}" if near else f"families: {', '.join(FAMILIES)}"
