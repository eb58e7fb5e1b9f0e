"""Blocks and widths in one set of weights: candidates side by side, each at its largest, under channel masks.

FBNetV2's DMaskingNAS (arXiv 2004.05565, section 3.1): a layer of searched width k out of k_1 < ... < k_n runs once, at
k_n channels, and its output is multiplied by `M = sum_i g_i 1_i`, where `1_i` has k_i ones, then zeros, and g are
Gumbel-softmax weights: one pass and one feature map whatever the number of widths. Expansions are widths inside.

Masks of linear outputs are folded into the batch norm behind them, and those of inner channels into the convolution
that reads them, so that no feature map is multiplied by a mask except behind activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.methods.supernets.masked_places import Candidate, Place, Quantity
from nas.methods.supernets.masked_plan import masked_plan
from nas.networks.network import FlatNetwork, Network, build_network
from search_spaces.arch import Arch
from search_spaces.blocks import ConvBNAct, Layer
from search_spaces.blocks.parts.initialisation import init_weights
from search_spaces.blocks.parts.masks import ChannelMasks, times
from search_spaces.blocks.parts.slices import copy_into
from search_spaces.costs import Shape
from search_spaces.resolution import Size
from search_spaces.space import SearchSpace

Masks = dict[Quantity, Tensor | None]


class MaskedNetwork(nn.Module):
    """The largest network of `space`, every place with all its candidates, executed at any mixture of its choices.

    `forward(x, probabilities)`: images (B, C, H, W) and per variable the weights of its choices, (choices,) each, of
    sum 1; logits (B, classes). A place gives `sum_k P(k, M_k) * block_k(x) + P(x) * x`, where the mask of a candidate
    holds the probability that the block is this one and has the channel, and P(x) is the probability that the block is
    left out (depth) or adds its input. Heads of several kinds have classifiers of their own, whose logits are mixed.
    What has probability 0 is not executed.

    With one-hot weights it computes what the network of that genotype (`extract`) computes, in evaluation and, since
    every channel is normed by itself, in training too; running statistics of channels that a mask hides move
    nevertheless, so those of a mixture belong to all widths at once.

    Departure: the paper masks outputs only. Expansions round to 8, so inner channels are masked as the widths before
    them demand, and squeezes likewise. Where a residual is there for some widths only (equal channels), the input is
    added with the probability of those widths. Depth is a gene here, the paper's stages have skips.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space, self.plan = space, masked_plan(space)
        self.network = build_network(self.plan.widest)
        blocks = self.plan.blocks
        self.others = nn.ModuleList(
            nn.ModuleList(candidate.layer.build(place.shape) for candidate in place.candidates[1:]) for place in blocks
        )
        init_weights(self.others)
        self.shortcuts = [
            self._shortcut(place, modules) for place, modules in zip(blocks, self._candidate_modules(), strict=True)
        ]
        last, (classifier,) = self.plan.head[0], self.plan.widest.stages[-1][-1:]
        kinds = [candidate.layer for candidate in last.candidates]
        self.shares = [last.share(k) for k in range(len(kinds))]
        self.heads = nn.ModuleList(_head_alone(layer, last.shape, classifier) for layer in kinds[1:])
        self.quantities = self._quantities()

    def forward(self, x: Tensor, probabilities: Sequence[Tensor]) -> Tensor:
        if len(probabilities) != len(self.space.variables):
            raise ValueError(f"{self.space.name} has {len(self.space.variables)} variables, got {len(probabilities)}")
        masks, idle = self._masks(probabilities, x.device)
        x = times(self.network.forward_stem(x), masks[self.plan.stem.candidates[0].out])
        for place, modules, shortcut in zip(self.plan.blocks, self._candidate_modules(), self.shortcuts, strict=True):
            y: Tensor | None = None
            for candidate, module in zip(place.candidates, modules, strict=True):
                if candidate.out not in idle:
                    part = _executed(module, x, candidate, masks)
                    y = part if y is None else y + part
            if shortcut is not None:
                share = masks[shortcut]
                y = _add(y, x if share is None else x * share, place.channels)
            assert y is not None  # of choices whose weights sum to 1, one is taken
            x = y
        logits: Tensor | None = None
        for candidate, held, head in zip(self.plan.head[0].candidates, self.shares, self._heads(), strict=True):
            if held not in idle:
                weight, part = masks[held], _logits(head, x, candidate.layer, masks[candidate.out])
                part = part if weight is None else part * weight
                logits = part if logits is None else logits + part
        assert logits is not None
        return logits

    def extract(self, genotype: Sequence[int]) -> Network | FlatNetwork:
        """The network of `genotype`, with the first channels of every weight and batch statistic, copied."""
        genes = self.space.check(genotype)
        network = build_network(self.space.decode(genes))
        taken = [place.candidate(genes) for place in self.plan.blocks]
        chosen = [modules[k] for modules, k in zip(self._candidate_modules(), taken, strict=True) if k is not None]
        head = self._heads()[self.plan.head[0].candidate(genes) or 0]
        sources = [*self.network.stem_modules(), *head.head_modules(), *chosen]
        ends = [*network.stem_modules(), *network.head_modules()]
        targets = [*ends, *(module for module in network.searched_modules() if module is not None)]
        for source, target in zip(sources, targets, strict=True):
            copy_into(target, source)
        return network.train(self.training)

    def one_hot(self, genotype: Sequence[int]) -> list[Tensor]:
        """The weights under which `forward` is the network of `genotype`."""
        genes = self.space.check(genotype)
        return [
            F.one_hot(torch.tensor(gene), len(variable)).float()
            for gene, variable in zip(genes, self.space.variables, strict=True)
        ]

    def _candidate_modules(self) -> list[list[nn.Module]]:
        """Per block, the modules of its candidates."""
        others: list[Any] = list(self.others)
        found = zip(self.network.searched_modules(), others, strict=True)
        return [[first, *more] for first, more in found if first is not None]  # the largest network holds no identities

    def _heads(self) -> list[Any]:
        """The network of each kind of head."""
        return [self.network, *self.heads]

    def _shortcut(self, place: Place, modules: Sequence[nn.Module]) -> Quantity | None:
        """Whether the input of `place` is added behind its candidates; None where it never is."""
        added = []
        for k, (candidate, module) in enumerate(zip(place.candidates, modules, strict=True)):
            residual = place.residual[place.taken == k]
            if not hasattr(module, "behind_shortcut"):
                added.append(k)
            elif (residual != getattr(module, "has_residual", False)).any():
                raise ValueError(
                    f"{self.space.name}: stage {place.stage}: some widths of {candidate.layer.label} have a shortcut, "
                    "others none; masks need one form: use widths that differ from those before them"
                )
        found = place.shortcut(added)
        return found if found.table.any() else None

    def _quantities(self) -> list[Quantity]:
        """Everything that has a mask, each once, in the order of the network."""
        found: list[Quantity | None] = [self.plan.stem.candidates[0].out]
        for place, shortcut in zip(self.plan.blocks, self.shortcuts, strict=True):
            found += [quantity for candidate in place.candidates for quantity in candidate.quantities]
            found.append(shortcut)
        found += [candidate.out for candidate in self.plan.head[0].candidates] + self.shares
        return list(dict.fromkeys(quantity for quantity in found if quantity is not None))

    def _masks(self, probabilities: Sequence[Tensor], device: torch.device) -> tuple[Masks, set[Quantity]]:
        """The mask of every quantity, on `device`, and which outputs have probability 0.

        They are computed where `probabilities` are, on the CPU, and cross over in one copy: no host sync.
        """
        masks: Masks = {quantity: quantity.mask(probabilities) for quantity in self.quantities}
        outs = [candidate.out for place in self.plan.blocks for candidate in place.candidates]
        idle = {q for q in (*outs, *self.shares) if (mask := masks[q]) is not None and not mask.any()}
        varying = {quantity: mask for quantity, mask in masks.items() if mask is not None}
        if varying and device != probabilities[0].device:
            moved = torch.cat(list(varying.values())).to(device, non_blocking=True)
            masks |= dict(zip(varying, moved.split([quantity.size for quantity in varying]), strict=True))
        return masks, idle


def _executed(module: Any, x: Tensor, candidate: Candidate, masks: Masks) -> Tensor:
    """A candidate's share of its place: without its shortcut, unless something follows that (`behind_shortcut`)."""
    out, *inside = (None if quantity is None else masks[quantity] for quantity in candidate.quantities)
    if not hasattr(module, "behind_shortcut"):
        branch: Tensor = module.masked(x, ChannelMasks(out, *inside))
        return branch
    branch = module.masked(x, ChannelMasks(None, *inside))
    return times(module.behind_shortcut(_add(branch, x, branch.shape[1]) if module.has_residual else branch), out)


def _head_alone(layer: Layer, shape: Shape, classifier: Layer) -> Network:
    """A network that has nothing but the head of `layer` and `classifier` behind maps of `shape`."""
    stem = ConvBNAct(shape.channels)  # as every network has one
    network = Network(Arch(Size(shape.height, shape.width), ((stem,), (layer, classifier)), shape.channels))
    network.conv_stem, network.bn1 = nn.Identity(), nn.Identity()
    return network


def _logits(network: Network | FlatNetwork, x: Tensor, layer: Layer, mask: Tensor | None) -> Tensor:
    """What the head of `network` makes of `x` when the output of its `layer` is masked."""
    if layer.role == "convolution":
        return network.forward_head(times(network.forward_final(x), mask))
    features = network.forward_head(x, pre_logits=True)
    logits: Tensor = network.get_classifier()(features if mask is None else features * mask)
    return logits


def _add(y: Tensor | None, shortcut: Tensor, channels: int) -> Tensor:
    """`y` (None: zeros) of `channels` plus `shortcut` on the channels both have; masked channels of either are 0."""
    common = min(channels, shortcut.shape[1])
    if y is None:
        return F.pad(shortcut[:, :common], (0, 0, 0, 0, 0, channels - common))
    if common == channels:
        return y + shortcut[:, :common]
    return torch.cat([y[:, :common] + shortcut, y[:, common:]], dim=1)
