"""Searching widths with one set of weights: the widest network under channel masks (FBNetV2, arXiv 2004.05565, 3.1).

A layer of searched width k out of k_1 < ... < k_n runs once, at k_n channels, and its output is multiplied by
`M = sum_i g_i 1_i`, where `1_i` has k_i ones, then zeros, and g are Gumbel-softmax weights: one pass and one feature
map whatever the number of widths.

Masks of linear outputs are folded into the batch norm behind them, and those of inner channels into the convolution
that reads them, so that no feature map is multiplied by a mask except behind the stem and the last convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.methods.supernets.width_plan import LayerWidths, Quantity, width_plan
from nas.networks.network import FlatNetwork, Network, build_network
from search_spaces.blocks.parts.masks import ChannelMasks, times
from search_spaces.space import SearchSpace


class MaskedNetwork(nn.Module):
    """The widest network of `space`, executed at any mixture of widths. `space` may choose output channels only.

    `forward(x, probabilities)`: images (B, C, H, W) and per variable the weights of its choices, (choices,) each, of
    sum 1; logits (B, classes). With one-hot weights it computes what the network sliced to those widths (`slice`)
    computes, in evaluation and, since every channel is normed by itself, in training too; running statistics of
    channels that a mask hides move nevertheless, so those of a mixture belong to all widths at once.

    Departure: the paper masks outputs only. Expansions round to 8, so inner channels are masked as the widths before
    them demand, and squeezes likewise. Where a residual is there for some widths only (equal channels), the input is
    added with the probability of those widths.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.widest, self.plan = width_plan(space)
        self.network = build_network(self.widest)

    def forward(self, x: Tensor, probabilities: Sequence[Tensor]) -> Tensor:
        if len(probabilities) != len(self.space.variables):
            raise ValueError(f"{self.space.name} has {len(self.space.variables)} variables, got {len(probabilities)}")
        network = self.network
        first, *blocks, last, _ = self.plan  # the last is the classifier
        x = times(network.forward_stem(x), self._mask(first.out, probabilities, x))
        for entry, module in zip(blocks, self._block_modules(), strict=True):
            x = self._block(entry, module, x, probabilities)
        if last.layer.role == "convolution":
            x = times(network.forward_final(x), self._mask(last.out, probabilities, x))
        return network.forward_head(x)

    def slice(self, genotype: Sequence[int]) -> Network | FlatNetwork:
        """The network of `genotype`, with the first channels of every weight and batch statistic, copied."""
        network = build_network(self.space.decode(genotype))
        source = self.network.state_dict()
        with torch.no_grad():
            for name, target in network.state_dict().items():
                target.copy_(source[name][tuple(slice(0, size) for size in target.shape)])
        return network.train(self.training)

    def one_hot(self, genotype: Sequence[int]) -> list[Tensor]:
        """The weights under which `forward` is the network of `genotype`."""
        genes = self.space.check(genotype)
        return [
            F.one_hot(torch.tensor(gene), len(variable)).float()
            for gene, variable in zip(genes, self.space.variables, strict=True)
        ]

    def _block_modules(self) -> list[nn.Module]:
        found = self.network.searched_modules()
        assert all(module is not None for module in found)  # width plans hold no skips
        return [module for module in found if module is not None]

    def _mask(self, quantity: Quantity | None, probabilities: Sequence[Tensor], like: Tensor) -> Tensor | None:
        """`M` of the quantity's channels (largest,); None where nothing is masked."""
        if quantity is None or not quantity.variables:
            return None
        weights = quantity.weights(probabilities)
        return (weights @ quantity.masks.to(weights)).to(like.device)

    def _block(self, entry: LayerWidths, module: nn.Module, x: Tensor, probabilities: Sequence[Tensor]) -> Tensor:
        masked = getattr(module, "masked", None)
        if masked is None:
            raise ValueError(f"{self.space.name}: a masked network cannot hold a {entry.layer.kind} layer")
        widths = entry.out, entry.inner, entry.squeezed, entry.start
        y: Tensor = masked(x, ChannelMasks(*(self._mask(width, probabilities, x) for width in widths)))
        share = entry.residual
        if share.variables:
            there = share.weights(probabilities) @ torch.from_numpy(share.table.reshape(-1)).to(probabilities[0])
            y = _add(y, x * there.to(x))
        elif share.table.any():
            y = _add(y, x)
        behind = getattr(module, "behind_shortcut", None)
        return y if behind is None else behind(y)


def _add(y: Tensor, shortcut: Tensor) -> Tensor:
    """`y` plus `shortcut` on the channels both have; masked channels of either are 0."""
    common = min(y.shape[1], shortcut.shape[1])
    if common == y.shape[1]:
        return y + shortcut[:, :common]
    return torch.cat([y[:, :common] + shortcut, y[:, common:]], dim=1)
