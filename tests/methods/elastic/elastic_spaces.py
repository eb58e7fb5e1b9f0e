"""Small spaces of every family whose archs are slices of a largest network."""

from __future__ import annotations

from collections.abc import Callable

from search_spaces.families.fbnet import fbnet
from search_spaces.families.fbnetv3.space import fbnetv3
from search_spaces.families.mobile.space import mobile
from search_spaces.families.mobilenetv2.space import mobilenetv2, mobilenetv2_layerwise
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace
from tests.search_spaces.every_kind import every_kind

UNGROUPED = ("k3_e1", "k3_e6", "k5_e3", "k5_e6", "skip")


def card(depth: int = 3) -> SearchSpace:
    """A card with choices of channels, depth and kind, and squeezes of some blocks."""
    blocks = [
        {"kind": "inverted_residual", "kernel_size": [3, 5], "expand_ratio": [1, 3], "se": [0, 0.25]},
        {"kind": "residual_block"},
    ]
    stages = [
        {"channels": [8, 16], "depth": [1, depth], "blocks": blocks},
        {"channels": [16, 24], "depth": 2, "stride": 2, "blocks": blocks},
    ]
    ends = {"out_channels": 16, "kernel_size": 3}, {"out_channels": 32}
    return from_card(stages, *ends, "card", resolution=8, num_classes=4, in_channels=1)


SPACES: dict[str, Callable[[], SearchSpace]] = {
    "single_path": lambda: single_path(16, 10, 1, head_channels=64, se_ratios=(0, 0.25, 0.5), kernels=(3, 5, 7)),
    "fbnet": lambda: fbnet(16, 10, 1, head_channels=64, candidates=UNGROUPED),
    "mobilenetv2": lambda: mobilenetv2(16, 10, 1, resolutions=(12, 16)),
    "mobilenetv2_layerwise": lambda: mobilenetv2_layerwise(16, 10, 1),
    "rexnet": lambda: rexnet(16, 10, 1, depths=(0.5, 1.0), squeezes=("none", "late", "all"), acts=("rexnet", "silu")),
    "rexnet_monotone": lambda: rexnet(16, 10, 1, channels="monotone"),
    "fbnetv3": lambda: fbnetv3(16, 10, 1),
    "mobile": lambda: mobile(16, 10, 1),
    "mobile_block": lambda: mobile(16, 10, 1, choose="block", stem_strides=(1, 2)),
    "card": card,
    "every_kind": lambda: every_kind(),
}
