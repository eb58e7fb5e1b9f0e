"""What tests of masked networks share: a space of blocks, widths and depths, and the check of one-hot masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nas.methods.supernets.channel_masks import MaskedNetwork
from search_spaces.from_card import from_card
from search_spaces.space import SearchSpace

CONV = {"kind": "conv_bn_act", "kernel_size": 3}
MBCONV = {"kind": "inverted_residual", "kernel_size": [3, 5], "expand_ratio": [2, 3]}


def card(*stages: dict[str, Any], stem: int = 8) -> SearchSpace:
    return from_card(stages, {"out_channels": stem, "kernel_size": 3}, {"out_channels": 24}, "mixed", 8, 10, 1)


def mixed() -> SearchSpace:
    """Dense and depthwise stages of free width and depth."""
    return card(
        {"channels": [8, 16], "depth": [1, 2], "blocks": [CONV, {"kind": "inverted_residual", "se": 0.25}]},
        {"channels": [8, 16, 24], "depth": [1, 2, 3], "stride": 2, "blocks": [CONV, MBCONV]},
    )


def stirred(network: nn.Module) -> None:
    """Batch norms with statistics and affine parts of their own."""
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.running_mean, norm.bias.data):
                tensor.normal_(generator=generator)
            for tensor in (norm.running_var, norm.weight.data):
                tensor.uniform_(0.5, 2.0, generator=generator)


def check_one_hot(masked: MaskedNetwork, genotypes: Iterable[list[int]], images: Tensor, training: bool) -> None:
    """Under the one-hot masks of each genotype, `masked` computes what that network alone does, in double precision."""
    for genotype in genotypes:
        masked.train(training)
        alone = masked.extract(genotype)
        assert alone.training == training and alone.arch == masked.space.decode(genotype)
        with torch.no_grad():
            torch.testing.assert_close(masked(images, masked.one_hot(genotype)), alone(images), atol=1e-9, rtol=1e-9)
        # the statistics that the network alone keeps moved alike
        moved, expected = masked.extract(genotype).state_dict(), alone.state_dict()
        assert moved.keys() == expected.keys()
        for key in moved:
            torch.testing.assert_close(moved[key], expected[key], atol=1e-9, rtol=1e-9, msg=key)
