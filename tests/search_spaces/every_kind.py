"""A small space whose candidates are of every kind that a card can list together."""

from __future__ import annotations

from typing import Any

from search_spaces.from_card import from_card
from search_spaces.space import LayerwiseSpace

BLOCKS: list[dict[str, Any]] = [
    {"kind": "universal_bottleneck", "middle_kernel": [3, 5], "expand_ratio": 2},
    {"kind": "universal_bottleneck", "start_kernel": 3, "layer_scale": [None, 0.5], "act": "hard_swish"},
    {"kind": "universal_bottleneck", "start_kernel": 5, "middle_kernel": 0, "se": 0.25},
    {"kind": "inverted_residual", "expand_ratio": 3},
    {"kind": "fused_bottleneck", "se": [None, 0.25]},
    {"kind": "residual_block", "projection": "bias"},
    {"kind": "depthwise_separable", "act": "silu"},
    {"kind": "conv_bn_act", "kernel_size": 3, "residual": [False, True]},
]
ALONE = [{"kind": "universal_bottleneck", "middle_kernel": 0, "act": "silu"}, {"kind": "skip"}]  # at stride 1 alone


def every_kind(resolution: Any = 8, num_classes: int = 10, in_channels: int = 1) -> LayerwiseSpace:
    """Three positions; the last has stride 2."""
    stages = [
        {"channels": 8, "depth": 2, "blocks": [*BLOCKS, *ALONE]},
        {"channels": 16, "stride": 2, "depth": 1, "blocks": BLOCKS},
    ]
    ends = {"out_channels": 8, "kernel_size": 3}, {"out_channels": 16}
    made = from_card(stages, *ends, "kinds", resolution, num_classes, in_channels)
    assert isinstance(made, LayerwiseSpace)
    return made
