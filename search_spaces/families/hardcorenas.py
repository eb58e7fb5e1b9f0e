"""HardCoRe-NAS (Nayman et al., ICML 2021, arXiv 2102.11646): its published networks, found under latency budgets."""

from __future__ import annotations

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, PooledConv
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.mobilenetv3 import HS, SE
from search_spaces.resolution import Resolution

STEM_CHANNELS = 32
FIRST_CHANNELS = 16
STAGE_CHANNELS = (24, 40, 80, 112, 192)
STAGE_STRIDES = (2, 2, 2, 1, 2)
STAGE_ACTS = ("relu", "relu", HS, HS, HS)
LAST_CHANNELS = 960
HEAD_CHANNELS = 1280

# One block name per searched layer, a line per stage.
PUBLISHED: dict[str, tuple[str, ...]] = {
    "hardcorenas_a": (
        "k5_e3 k5_e3_se",
        "k5_e3 k5_e6_se",
        "k5_e6_se k5_e6_se",
        "k5_e6_se k5_e6_se",
        "k5_e6_se k5_e6_se",
    ),
    "hardcorenas_b": (
        "k5_e3 k5_e3_se k3_e3",
        "k5_e3 k5_e3 k5_e3",
        "k5_e3 k5_e3 k3_e3 k3_e3",
        "k5_e3 k3_e3 k3_e3 k3_e3",
        "k5_e6_se k5_e6_se k3_e3_se",
    ),
    "hardcorenas_c": (
        "k5_e3 k5_e3_se",
        "k5_e3 k5_e3 k5_e3 k5_e3",
        "k5_e4 k5_e6_se k3_e3 k3_e3",
        "k5_e6_se k3_e3 k3_e3 k3_e3",
        "k5_e6_se k5_e6_se k3_e3_se",
    ),
    "hardcorenas_d": (
        "k5_e3_se k5_e3_se",
        "k5_e3_se k5_e4_se k3_e3_se",
        "k5_e4_se k3_e3_se k3_e3_se k3_e3_se",
        "k3_e4_se k5_e4_se k3_e3_se k5_e3_se",
        "k5_e6_se k5_e6_se k5_e6_se k3_e6_se",
    ),
    "hardcorenas_e": (
        "k5_e3_se k5_e3_se",
        "k5_e6_se k5_e4_se k5_e4_se k3_e3_se",
        "k5_e4_se k3_e6_se",
        "k5_e6_se k5_e6_se k5_e6_se k5_e3_se",
        "k5_e6_se k5_e6_se k5_e6_se k3_e6_se",
    ),
    "hardcorenas_f": (
        "k5_e3_se k5_e3_se",
        "k5_e6_se k5_e6_se",
        "k5_e6_se k5_e6_se k3_e3_se k3_e3_se",
        "k3_e6_se k5_e6_se k5_e6_se k3_e3_se",
        "k5_e6_se k5_e6_se k3_e6_se k3_e6_se",
    ),
}


def block(name: str, out_channels: int, stride: int, act: str) -> Layer:
    """The searched block called `name`: `k<kernel>_e<expansion>`, with `_se` for squeeze-and-excitation."""
    kernel, expand, *se = name.split("_")
    return InvertedResidual(out_channels, int(kernel[1:]), stride, float(expand[1:]), act=act, se=SE if se else None)


def _arch(form: tuple[str, ...], num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(STEM_CHANNELS, 3, 2, act=HS),), (DepthwiseSeparable(FIRST_CHANNELS),)]
    for names, channels, stride, act in zip(form, STAGE_CHANNELS, STAGE_STRIDES, STAGE_ACTS, strict=True):
        stages.append(
            tuple(block(name, channels, stride if i == 0 else 1, act) for i, name in enumerate(names.split()))
        )
    stages.append((ConvBNAct(LAST_CHANNELS, act=HS),))
    stages.append((PooledConv(HEAD_CHANNELS, HS, bias=True), Classifier(num_classes)))
    return Arch(resolution or 224, tuple(stages), in_channels)


FIGURES: dict[str, Figures] = {
    "hardcorenas_a": Figures(75.926, 92.486, 224, TIMM),
    "hardcorenas_b": Figures(76.550, 92.766, 224, TIMM),
    "hardcorenas_c": Figures(77.092, 93.192, 224, TIMM),
    "hardcorenas_d": Figures(77.450, 93.480, 224, TIMM),
    "hardcorenas_e": Figures(77.788, 93.692, 224, TIMM),
    "hardcorenas_f": Figures(78.100, 93.800, 224, TIMM),
}
FAMILY = Family(
    "HardCoRe-NAS",
    "HardCoRe-NAS: Hard Constrained diffeRentiable Neural Architecture Search",
    "2102.11646",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
