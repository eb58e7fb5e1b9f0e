"""Spaces whose candidates nest, and the decisions of their candidates."""

from __future__ import annotations

from nas.methods.supernets.nested_candidates import Nest
from search_spaces import LayerwiseSpace
from search_spaces.families.fbnet import fbnet
from search_spaces.families.single_path import single_path
from search_spaces.from_card import from_card

PAPER_SPACE = single_path()


def uib(**fields: object) -> LayerwiseSpace:
    block = {"kind": "universal_bottleneck", "middle_kernel": [3, 5], "expand_ratio": [2, 4], **fields}
    stages = [
        {"channels": 8, "depth": 2, "blocks": [block, {"kind": "skip"}]},
        {"channels": 16, "stride": 2, "depth": 1, "blocks": [block]},
    ]
    made = from_card(stages, {"out_channels": 8, "kernel_size": 3}, {"out_channels": 32}, "uib", 8, 10, 1)
    assert isinstance(made, LayerwiseSpace)
    return made


SPACES = {
    "single_path": lambda: single_path(8, 10, 1, width=0.25, head_channels=32),
    "more choices": lambda: single_path(
        8, 10, 1, width=0.25, head_channels=32, kernels=(3, 5, 7), expansions=(2, 3, 6), se_ratios=(0, 0.25)
    ),
    "se always": lambda: single_path(8, 10, 1, width=0.25, head_channels=32, se_ratios=(0.5,), skip=False),
    "universal bottlenecks": lambda: uib(start_kernel=3, layer_scale=0.5, se=[None, 0.25]),
    "fbnet subset": lambda: fbnet(
        8,
        10,
        1,
        width=0.25,
        head_channels=32,
        skip_at_shape_change=False,
        candidates=["k3_e1", "k3_e6", "k5_e1", "k5_e6", "skip"],
    ),
}


def decisions(nest: Nest, gene: int) -> tuple[tuple[bool, ...], tuple[bool, ...], bool]:
    """The decisions of a candidate, the inverse of `nest.gene`; of a block that is left out, all "no"."""
    choice = nest.choices[gene]
    if choice is None:
        return (False,) * (len(nest.kernels) - 1), (False,) * len(nest.widths), nest.se[0]
    kernel = tuple(k <= choice.kernel for k in range(1, len(nest.kernels)))
    return kernel, tuple(w <= choice.width for w in range(len(nest.widths))), choice.se
