"""What the stages of the mobile space are, and the lists of choices that come with it.

Seven slots, of the strides of MobileNetV2, MnasNet, FBNet and Single-Path NAS. MobileNetV3 leaves out G, MobileNetV3-
Small also A, MobileNetV4 A, E and G; four plain convolutions, the best hand-made network of small images, A, B, E and
G. Behind them a 1x1 convolution that may be left out (MobileNetV3, V4) and a head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from search_spaces.costs import make_divisible, round_up

SLOTS = ("A", "B", "C", "D", "E", "F", "G")
OPTIONAL = ("A", "E", "G")
STRIDES = {"paper": (1, 2, 2, 2, 1, 2, 1), "small": (1, 1, 2, 2, 1, 2, 1)}
STEM_STRIDES = {"paper": (2,), "small": (1, 2)}
WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.4)  # the multipliers of published nets of several families

Channels = dict[str, tuple[int, ...]]

# Channels of the published nets at width 1, by slot. MobileNetV2, MobileNetV3-Large and -Small, MobileNetV4-Conv-Small,
# -Medium and -Large, FBNet, Single-Path NAS, MnasNet-A1, -B1 and -Small.
PUBLISHED: Channels = {
    "stem": (8, 16, 24, 32),
    "A": (8, 16),
    "B": (16, 24, 32, 48),
    "C": (16, 24, 32, 40, 64, 80, 96),
    "D": (32, 40, 64, 80, 96, 160, 192),
    "E": (32, 48, 96, 112),
    "F": (88, 96, 128, 160, 184, 192, 256, 512),
    "G": (144, 320, 352),
    "last": (576, 960),
}
PUBLISHED_DEPTHS = {slot: tuple(range(0 if slot in OPTIONAL else 1, most + 1)) for slot, most in
                    zip(SLOTS, (2, 6, 6, 11, 6, 13, 2), strict=True)}  # fmt: skip
PUBLISHED_FIRSTS = {"C": (96,)}  # of MobileNetV4-Conv-Small: 96 channels, then a 1x1 convolution to 64
PUBLISHED_HEADS = ("conv_1280", "conv_1984", "conv_1504", "conv_1416", "pooled_1024", "pooled_1280", "pooled_bn_1280")

CHANNELS: dict[str, Channels] = {
    "paper": {
        "stem": (8, 16, 24, 32),
        "A": (8, 16, 24),
        "B": (16, 24, 32, 40, 48),
        "C": (24, 32, 40, 48, 64, 80),
        "D": (40, 64, 80, 96, 128, 160),
        "E": (48, 64, 96, 112, 128, 160),
        "F": (96, 128, 160, 192, 224, 256),
        "G": (144, 192, 256, 320, 352),
        "last": (),
    },
    "small": {
        "stem": (8, 16, 24, 32),
        "A": (8, 16, 24),
        "B": (8, 16, 24, 32, 48),
        "C": (16, 24, 32, 48, 64, 96, 128),
        "D": (24, 32, 48, 64, 80, 96, 128, 160),
        "E": (32, 48, 64, 96, 112, 128),
        "F": (56, 80, 96, 128, 160, 192, 256),
        "G": (112, 160, 192, 256, 320),
        "last": (),
    },
    "tiny": {
        "stem": (8, 16),
        "A": (8, 16),
        "B": (8, 16, 24),
        "C": (16, 24, 32),
        "D": (24, 48),
        "E": (32, 64),
        "F": (64, 96),
        "G": (128,),
        "last": (),
    },
}
DEPTHS: dict[str, Channels] = {
    "paper": {"A": (0, 1), "B": (1, 2, 3, 4), "C": (1, 2, 3, 4), "D": (1, 2, 3, 4), "E": (0, 1, 2, 3, 4),
              "F": (1, 2, 3, 4), "G": (0, 1)},
    "small": {"A": (0, 1), "B": (0, 1, 2, 3), "C": (1, 2, 3), "D": (1, 2, 3, 4), "E": (0, 1, 2, 3), "F": (1, 2, 3),
              "G": (0, 1)},
    "tiny": {"A": (0, 1), "B": (0, 1, 2), "C": (1, 2), "D": (1, 2), "E": (0, 1), "F": (1, 2), "G": (0, 1)},
}  # fmt: skip
HEADS = {
    "paper": ("conv_640", "conv_1280", "pooled_1024", "pooled_1280"),
    "small": ("conv_128", "conv_256", "conv_512", "conv_1280", "pooled_512"),
    "tiny": ("conv_64", "conv_256"),
}
FORMS = ("conv_k3", "conv_k5", "res_k3", "fused_k3_e2", "fused_k3_e4", "ds_k3", "ds_k5", "ir_k3_e3", "ir_k3_e6",
         "ir_k5_e4", "ir_k5_e6", "ir_k5_e4_se", "uib_a3_k5_e4", "uib_a5_k0_e4")  # fmt: skip
FEW_FORMS = ("conv_k3", "fused_k3_e4", "ds_k3", "ir_k3_e3", "ir_k3_e6", "ir_k5_e4", "uib_a3_k5_e4")


# Of MobileNetV2 and FBNet (its candidates without groups), Single-Path NAS and MnasNet, MobileNetV3, MobileNetV4.
PUBLISHED_FORMS = (
    "skip",
    *("ds_k3", "ds_k3_noskip", "ds_k3_se"),
    *(f"ir_k{k}_e{e}{variant}" for k in (3, 5) for e in (1, 3, 6) for variant in ("", "_noexp")),
    *("ir_k3_e6_sep", "ir_k3_e6_noskip", "ir_k5_e3_sei", "ir_k3_e6_sei", "ir_k5_e6_sei"),
    *("ir_k3_e2.3", "ir_k3_e2.5", "ir_k3_e3.67", "ir_k3_e4", "ir_k3_e4.5"),
    *("ir_k5_e3_se", "ir_k5_e4_se", "ir_k3_e6_se", "ir_k5_e6_se"),
    *("conv_k1", "conv_k3", "fused_k3_e4"),
    *(f"uib_a{a}_k{k}_e4" for a in (0, 3, 5) for k in (0, 3, 5)),
    *("uib_a5_k5_e3", "uib_a0_k3_e2", "uib_a3_k3_e6", "uib_a0_k5_e3", "uib_a3_k3_e2", "uib_a3_k5_e6", "uib_a0_k0_e2"),
    *("uib_a5_k5_e6", "uib_a3_k5_e2", "uib_a5_k0_e2"),
)
PUBLISHED_ACTS = ("relu", "relu6", "hard_swish", "mobilenetv3")


@dataclass(frozen=True)
class Lists:
    """The choices of a space: channels of the stem, of every slot and of the last convolution; depths by slot..."""

    channels: Channels
    depths: Channels
    forms: tuple[str, ...]
    heads: tuple[str, ...]
    acts: tuple[str, ...]
    firsts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    last_depths: tuple[int, ...] = (0, 1)


def recommended(size: str) -> Lists:
    """The lists for images of `size`: `paper` (224 pixels and the like), `small` (32) or `tiny` (16)."""
    forms = FEW_FORMS if size == "tiny" else FORMS
    return Lists(CHANNELS[size], DEPTHS[size], forms, HEADS[size], ("relu",))


def published(widths: Sequence[float]) -> Lists:
    """The lists that the published nets need at the multipliers `widths`."""
    channels = {slot: scaled(numbers, widths) for slot, numbers in PUBLISHED.items()}
    channels["stem"] = tuple(sorted({*channels["stem"], *PUBLISHED["stem"]}))
    wide = [f"conv_{make_divisible(1280 * width)}" for width in widths if width > 1]
    firsts = {slot: scaled(numbers, widths) for slot, numbers in PUBLISHED_FIRSTS.items()}
    return Lists(
        channels, PUBLISHED_DEPTHS, PUBLISHED_FORMS, (*PUBLISHED_HEADS, *wide), PUBLISHED_ACTS, firsts, (0, 1, 2)
    )


def scaled(channels: Sequence[int], widths: Sequence[float]) -> tuple[int, ...]:
    """`channels` times `widths` as families round: to the nearest multiple of 8 (MobileNets) and up (FBNet)."""
    return tuple(sorted({rule(c * width) for c in channels for width in widths for rule in (make_divisible, round_up)}))
