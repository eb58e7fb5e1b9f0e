"""The elastic supernet: archs as views of one network (Once-for-all, arXiv 1908.09791; BigNAS, 2003.11142)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from nas.methods.elastic.places import ElasticPlan
from nas.networks.network import FlatNetwork, Network, build_network
from search_spaces.arch import Arch
from search_spaces.blocks.parts.initialisation import init_weights, zero_init_residuals
from search_spaces.blocks.parts.slices import copy_into
from search_spaces.resolution import size
from search_spaces.space import SearchSpace


class ElasticNetwork(nn.Module):
    """One module per place and form of `space`, at its largest (`ElasticPlan`), of which every arch is a view.

    `forward(x, arch)`: images (B, C, H, W) and any arch of the space; logits (B, classes). It runs the layers of the
    arch and nothing else, on the first channels and the centres of the kernels of their places, the first blocks of
    each stage, and images of the arch's resolution, to which others are scaled. The arch is an argument: nothing about
    it is kept, but for batch-norm statistics while training, which belong to no arch and are estimated anew for one
    that is taken out (`extract`). Raises `ValueError` for spaces and archs that are no slices.

    Departures: kernels are the bare centres of larger ones, without Once-for-all's matrices per kernel size (as in
    BigNAS); blocks of different kinds, activations or layer scales share nothing but their neighbours.
    """

    def __init__(self, space: SearchSpace, zero_init_residual: bool = False) -> None:
        """`zero_init_residual`: places that have a shortcut in every arch start as the identity."""
        super().__init__()
        self.space, self.plan = space, ElasticPlan(space)
        self.places = nn.ModuleList(
            nn.ModuleList(envelope.build() for envelope in place.envelopes) for place in self.plan.places
        )
        init_weights(self)
        if zero_init_residual:
            for modules, place in zip(self.places, self.plan.places, strict=True):
                for module, envelope in zip(modules.children(), place.envelopes, strict=True):
                    if envelope.always_residual:
                        zero_init_residuals(module)

    def forward(self, x: Tensor, arch: Arch) -> Tensor:
        x = scaled_to(x, arch)
        places: Any = self.places
        for layer, place, envelope in self.plan.steps(arch):
            x = places[place][envelope].sliced(x, layer)
        return x

    def extract(self, arch: Arch) -> Network | FlatNetwork:
        """The plain network of `arch`, with copies of its slices of weights and batch-norm statistics."""
        network = build_network(arch)
        places: Any = self.places
        for step, target in zip(self.plan.steps(arch), network.layer_modules(), strict=True):
            for name, part in target.items():
                copy_into(part, places[step.place][step.envelope].get_submodule(name))
        return network.train(self.training)


def scaled_to(x: Tensor, arch: Arch) -> Tensor:
    """Images `x` at the resolution of `arch`: as they are, or scaled bilinearly with antialiasing."""
    wanted = tuple(size(arch.resolution))
    if x.shape[2:] == wanted:
        return x
    return F.interpolate(x, wanted, mode="bilinear", align_corners=False, antialias=True)
