"""The FBNet space and its published networks (Wu et al., CVPR 2019, arXiv 1812.03443, Tables 1 and 2).

22 searched layers with nine candidates each, between a fixed stem and head. Two geometries: `paper` (224 pixels, and
the other resolutions of the paper's Table 4) and `small` (32 pixels: stem stride 1, stage strides 1 1 2 2 1 2 1, the
geometry of HW-NAS-Bench and HELP), chosen by resolution unless named.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual, Layer, Skip
from search_spaces.costs import round_up
from search_spaces.families.arguments import check_multipliers
from search_spaces.families.base import TIMM, Family, Figures
from search_spaces.families.geometry import Geometry, geometry_of, is_tiny
from search_spaces.plain_data.annotations import AboveZero, Positive
from search_spaces.resolution import Pixels, Resolution
from search_spaces.space import LayerwiseSpace

STAGE_CHANNELS = (16, 24, 32, 64, 112, 184, 352)
STAGE_DEPTHS = (1, 4, 4, 4, 4, 4, 1)
STAGE_STRIDES = {"paper": (1, 2, 2, 2, 1, 2, 1), "small": (1, 1, 2, 2, 1, 2, 1)}
STEM_CHANNELS = 16
STEM_STRIDE = {"paper": 2, "small": 1}
HEAD_CHANNELS = 1984

# Order is the index that public tables and HELP's data use. kernel, expand_ratio, groups
BLOCKS: dict[str, tuple[int, int, int]] = {
    "k3_e1": (3, 1, 1),
    "k3_e1_g2": (3, 1, 2),
    "k3_e3": (3, 3, 1),
    "k3_e6": (3, 6, 1),
    "k5_e1": (5, 1, 1),
    "k5_e1_g2": (5, 1, 2),
    "k5_e3": (5, 3, 1),
    "k5_e6": (5, 6, 1),
}
CANDIDATES = (*BLOCKS, "skip")


def block(name: str, out_channels: int, stride: int, expand_at_1: bool = True) -> Layer:
    """The candidate called `name`: one of `CANDIDATES`, or `k3_e6_sep`, the tenth block of the 2019 B and C nets."""
    if name == "skip":
        return Skip(out_channels, stride)
    if name == "k3_e6_sep":
        return InvertedResidual(out_channels, 3, stride, 6.0, expand_at_1=expand_at_1, num_depthwise=2)
    kernel_size, expand_ratio, groups = BLOCKS[name]
    return InvertedResidual(out_channels, kernel_size, stride, float(expand_ratio), groups, expand_at_1=expand_at_1)


def macro(width: float, geometry: str) -> list[list[tuple[int, int]]]:
    """Output channels and stride of each searched layer, by stage.

    Channels are scaled by `width` and rounded *up* to a multiple of 8: of the usual rules only this one gives the
    published widths of FBNet-96-0.35-1 (8 | 16 | 16 | 24 | 40 | 72 | 128).
    """
    check_multipliers(width=width)
    return [
        [(round_up(channels * width), stride if i == 0 else 1) for i in range(depth)]
        for channels, depth, stride in zip(STAGE_CHANNELS, STAGE_DEPTHS, STAGE_STRIDES[geometry], strict=True)
    ]


def fbnet(
    resolution: Pixels = 224,
    num_classes: Positive = 1000,
    in_channels: Positive = 3,
    width: AboveZero | None = None,
    head_channels: Positive = HEAD_CHANNELS,
    geometry: Geometry = "auto",
    skip_at_shape_change: bool = True,
    candidates: Sequence[str] = CANDIDATES,
) -> LayerwiseSpace:
    """The FBNet search space: 9^22 networks.

    `resolution` in pixels; `width` multiplies stem and stage channels (None: 1.0, or 0.5 for images below
    `TINY_BELOW` pixels); `head_channels` is not scaled.
    `skip_at_shape_change=True` (as mobile-vision, AnnaAraslanova/FBNet and HW-NAS-Bench do) makes the skip of the six
    layers that change the shape a 1x1 convolution, BN, ReLU; `False` (as JunrQ/NAS does) leaves eight candidates there.
    `candidates` restricts the block choices. Raises `ValueError` for one that there is not, with those there are.
    """
    geometry = geometry_of(resolution, geometry, "FBNet")
    width = (0.5 if is_tiny(resolution) else 1.0) if width is None else width
    unknown = [name for name in candidates if name not in CANDIDATES]
    if unknown:
        raise ValueError(f"unknown FBNet candidate {unknown[0]!r}; one of {', '.join(CANDIDATES)}")
    stages = macro(width, geometry)
    stem = round_up(STEM_CHANNELS * width)
    slots: list[list[list[Layer]]] = [[[ConvBNAct(stem, 3, STEM_STRIDE[geometry])]]]
    channels = stem
    for stage in stages:
        slots.append([])
        for out_channels, stride in stage:
            keeps_shape = stride == 1 and channels == out_channels
            names = [n for n in candidates if n != "skip" or keeps_shape or skip_at_shape_change]
            slots[-1].append([block(name, out_channels, stride) for name in names])
            channels = out_channels
    slots.append([[ConvBNAct(head_channels)], [Classifier(num_classes)]])
    return LayerwiseSpace("fbnet", resolution, slots, in_channels)


# Published networks: one block name per searched layer (AnnaAraslanova/FBNet, mobile-vision, timm; see docs/search.md).
_A = (
    "skip k3_e3 k3_e1 skip skip "
    "k5_e6 k3_e3 k5_e1 k3_e3 k5_e6 k5_e3 k5_e1_g2 k5_e6 "
    "k3_e6 k5_e1_g2 k5_e3 k3_e1_g2 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6"
)
_B = (
    "k3_e1 k3_e6 k5_e1 k3_e1 k3_e1 "
    "k5_e6 k5_e3 k3_e6 {b9} k5_e6 {b11} skip k5_e3 "
    "k5_e6 k3_e1 k5_e1 k5_e3 k5_e6 k5_e1 k5_e6 k5_e6 k3_e6"
)
_C = (
    "k3_e1 k3_e6 skip k3_e1 k3_e1 "
    "k5_e6 k5_e3 {c8} k3_e6 k5_e6 k5_e3 k5_e6 k5_e6 "
    "k5_e6 {c15} k5_e6 k5_e3 k5_e6 k5_e6 k5_e6 k5_e6 k3_e6"
)
_S8 = (
    "k3_e1 k3_e3 k3_e1 skip skip "
    "k5_e6 k3_e3 k3_e3 k3_e6 k5_e6 k5_e3 k5_e3 k5_e3 "
    "k3_e6 k5_e3 k5_e3 k5_e3 k5_e6 k5_e6 k5_e3 k5_e6 k5_e6"
)
_IPHONEX = (
    "skip k3_e6 k3_e1 k3_e1 k3_e1 "
    "k3_e6 k3_e6 k3_e6 k3_e6 k3_e6 k3_e6 k3_e3 k3_e6 "
    "k3_e6 k3_e3 k3_e3 k3_e3 k5_e6 k5_e6 k5_e6 k5_e3 k5_e6"
)
_96 = (
    "k3_e1 k3_e6 k3_e6 skip skip "
    "k5_e6 k5_e6 skip skip k5_e6 skip skip skip "
    "k3_e6 skip skip skip k5_e6 k5_e6 skip skip k5_e6"
)
_B_FIGURE = _B.format(b9="k5_e6", b11="k5_e1")
_B_2019 = _B.format(b9="k3_e6_sep", b11="k5_e1")
_B_MV = _B.format(b9="k5_e6", b11="k5_e6")
_C_PLAIN = _C.format(c8="k5_e6", c15="k5_e6")
_C_2019 = _C.format(c8="k3_e6_sep", c15="k3_e6_sep")


@dataclasses.dataclass(frozen=True)
class Published:
    """One published form: its blocks and what distinguishes it from the others of the same name."""

    blocks: str
    head_channels: int = HEAD_CHANNELS
    resolution: int = 224
    width: float = 1.0
    expand_at_1: bool = True


PUBLISHED: dict[str, Published] = {
    "fbnetc_100": Published(_C_PLAIN),  # as timm has it
    "fbnet_a": Published(_A, head_channels=1504),  # the released Caffe2 net
    "fbnet_b_paper": Published(_B_FIGURE),  # the paper's figure
    "fbnet_b": Published(_B_2019),  # the released Caffe2 net: layer 9 is k3_e6_sep
    "fbnet_b1": Published(_B_2019, head_channels=1504),
    "fbnet_c": Published(_C_2019),  # the released Caffe2 net: layers 8 and 15 are k3_e6_sep
    "fbnet_c1": Published(_C_2019, head_channels=1504),
    "fbnet_a_pytorch": Published(_A, head_channels=1504, expand_at_1=False),  # mobile-vision's PyTorch nets
    "fbnet_b_pytorch": Published(_B_MV, expand_at_1=False),
    "fbnet_c_pytorch": Published(_C_PLAIN, expand_at_1=False),
    "fbnet_s8": Published(_S8),  # head width not published; 1984 assumed
    "fbnet_iphonex": Published(_IPHONEX),  # head width not published; 1984 assumed
    "fbnet_96_035_1": Published(_96, head_channels=1416, resolution=96, width=0.35),
}


def _arch(form: Published, num_classes: int, resolution: Resolution | None, in_channels: int) -> Arch:
    names = iter(form.blocks.split())
    stages: list[tuple[Layer, ...]] = [(ConvBNAct(round_up(STEM_CHANNELS * form.width), 3, 2),)]
    for stage in macro(form.width, "paper"):
        stages.append(tuple(block(next(names), channels, stride, form.expand_at_1) for channels, stride in stage))
    stages.append((ConvBNAct(form.head_channels), Classifier(num_classes)))
    return Arch(resolution or form.resolution, tuple(stages), in_channels)


_MV1 = "mobile-vision README, Caffe2 fp32"
_MV2 = "mobile-vision README, PyTorch"
FIGURES: dict[str, Figures] = {
    "fbnetc_100": Figures(75.120, 92.384, 224, TIMM),
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
}
FAMILY = Family(
    "FBNet",
    "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search",
    "1812.03443",
    PUBLISHED,
    _arch,
    FIGURES,
)
published = FAMILY.published
