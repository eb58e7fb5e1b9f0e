"""The published networks by name, with their published figures and where those come from."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from search_spaces import fbnet, fbnetv3, mobilenetv2, rexnet, single_path
from search_spaces.arch import Arch


@dataclass(frozen=True)
class Family:
    """A family of published networks: its paper, and the function from name to arch."""

    title: str
    paper: str
    arxiv: str
    names: tuple[str, ...]
    published: Callable[[str, int, int | None, int], Arch]


FAMILIES: dict[str, Family] = {
    "fbnet": Family(
        "FBNet",
        "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search",
        "1812.03443",
        tuple(fbnet.PUBLISHED),
        fbnet.published,
    ),
    "fbnetv3": Family(
        "FBNetV3",
        "FBNetV3: Joint Architecture-Recipe Search using Predictor Pretraining",
        "2006.02049",
        tuple(fbnetv3.PUBLISHED),
        fbnetv3.published,
    ),
    "single_path": Family(
        "Single-Path NAS",
        "Single-Path NAS: Designing Hardware-Efficient ConvNets in less than 4 Hours",
        "1904.02877",
        tuple(single_path.PUBLISHED),
        single_path.published,
    ),
    "mobilenetv2": Family(
        "MobileNetV2",
        "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        "1801.04381",
        tuple(mobilenetv2.PUBLISHED),
        mobilenetv2.published,
    ),
    "rexnet": Family(
        "ReXNet",
        "Rethinking Channel Dimensions for Efficient Model Design",
        "2007.00992",
        tuple(rexnet.PUBLISHED),
        rexnet.published,
    ),
}

FAMILY_OF: dict[str, str] = {name: family for family, row in FAMILIES.items() for name in row.names}


@dataclass(frozen=True)
class Figures:
    """Published ImageNet-1k accuracy in percent, the image size it was measured at, and the source."""

    top1_percent: float
    top5_percent: float | None
    resolution: int
    source: str


_TIMM = "timm results-imagenet.csv"
_TIMM_12K = "timm results-imagenet.csv; pretrained on ImageNet-12k"
_SLIM = "TensorFlow slim MobileNetV2 table"
_MV1 = "mobile-vision README, Caffe2 fp32"
_MV2 = "mobile-vision README, PyTorch"
_MV3 = "mobile-vision model info; released net pads less (fewer MACs)"

# Networks that are not listed have no published accuracy that we could read in its source.
FIGURES: dict[str, Figures] = {
    "fbnetc_100": Figures(75.120, 92.384, 224, _TIMM),
    "fbnet_a": Figures(73.3, None, 224, _MV1),
    "fbnet_b_paper": Figures(74.1, None, 224, "paper, Table 3"),
    "fbnet_b": Figures(74.1, None, 224, _MV1),
    "fbnet_b1": Figures(73.9, None, 224, _MV1),
    "fbnet_c": Figures(74.9, None, 224, _MV1),
    "fbnet_c1": Figures(74.5, None, 224, _MV1),
    "fbnet_a_pytorch": Figures(73.30, None, 224, _MV2),
    "fbnet_b_pytorch": Figures(74.54, None, 224, _MV2),
    "fbnet_c_pytorch": Figures(75.25, None, 224, _MV2),
    "fbnet_96_035_1": Figures(50.2, None, 96, "paper, abstract"),
    "fbnetv3_a": Figures(79.574, 94.712, 224, _MV3),
    "fbnetv3_b": Figures(79.154, 94.732, 256, _TIMM),
    "fbnetv3_c": Figures(80.826, 95.286, 248, _MV3),
    "fbnetv3_d": Figures(79.682, 94.952, 256, _TIMM),
    "fbnetv3_e": Figures(81.254, 95.488, 264, _MV3),
    "fbnetv3_f": Figures(82.062, 95.874, 272, _MV3),
    "fbnetv3_g": Figures(82.034, 96.064, 288, _TIMM),
    "spnasnet_100": Figures(74.086, 91.826, 224, _TIMM),
    "mobilenetv2_035": Figures(60.3, 82.9, 224, _SLIM),
    "mobilenetv2_050": Figures(65.928, 86.114, 224, _TIMM),
    "mobilenetv2_075": Figures(69.8, 89.6, 224, _SLIM),
    "mobilenetv2_100": Figures(72.910, 91.000, 224, _TIMM),
    "mobilenetv2_110d": Figures(75.056, 92.186, 224, _TIMM),
    "mobilenetv2_120d": Figures(77.300, 93.516, 224, _TIMM),
    "mobilenetv2_140": Figures(76.528, 93.008, 224, _TIMM),
    "rexnet_100": Figures(77.862, 93.890, 224, _TIMM),
    "rexnet_130": Figures(79.492, 94.680, 224, _TIMM),
    "rexnet_150": Figures(80.322, 95.164, 224, _TIMM),
    "rexnet_200": Figures(81.636, 95.672, 224, _TIMM),
    "rexnet_300": Figures(82.780, 96.230, 224, _TIMM),
    "rexnetr_200": Figures(83.160, 96.646, 288, _TIMM_12K),
    "rexnetr_300": Figures(84.582, 97.278, 288, _TIMM_12K),
}


def published(name: str, num_classes: int = 1000, resolution: int | None = None, in_channels: int = 3) -> Arch:
    """The published network called `name`. Raises `ValueError` for an unknown name, with the nearest known ones."""
    if name not in FAMILY_OF:
        raise ValueError(f"unknown network {name!r}; {nearest(name)} (python -m nas.zoo lists all)")
    return FAMILIES[FAMILY_OF[name]].published(name, num_classes, resolution, in_channels)


def nearest(name: str) -> str:
    """The published names most like `name`, as a sentence."""
    near = difflib.get_close_matches(name.lower(), list(FAMILY_OF), n=3, cutoff=0.5)
    return f"nearest names: {', '.join(near)}" if near else f"families: {', '.join(FAMILIES)}"
