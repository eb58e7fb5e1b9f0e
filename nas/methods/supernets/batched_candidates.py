"""A full mixture of inverted residuals in a few large operations instead of dozens of small ones.

All candidates of a position read the same input, so their expansions are one matrix product; candidates of one kernel
size form a family whose depthwise convolutions are one; batch norm is per channel, so norms concatenate exactly; and
path weights scale the last norm's affine, so the weighted sum is a plain sum. The parameters stay where they are, in
the candidates; this module holds none. Equal to the plain loop up to rounding: outputs, gradients, batch statistics.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks import Layer
from search_spaces.blocks.parts.bottleneck import Bottleneck
from search_spaces.blocks.parts.depthwise import depthwise
from search_spaces.costs import Shape


@dataclass(frozen=True)
class FusionPlan:
    """Which candidates of a position run together: families of equal kernel size, the identities, and the rest."""

    families: tuple[tuple[int, ...], ...]
    identities: tuple[int, ...]
    residuals: tuple[int, ...]
    rest: tuple[int, ...]


def plan_fusion(layers: Sequence[Layer], shape: Shape) -> FusionPlan | None:
    """How to fuse `layers` at input `shape`; None where fewer than two of them can run together."""
    families: dict[Hashable, list[int]] = {}
    identities, residuals, rest = [], [], []
    for k, layer in enumerate(layers):
        if layer.is_identity(shape):
            identities.append(k)
        elif (family := layer.batch_family(shape)) is not None:
            families.setdefault(family, []).append(k)
            if layer.has_residual(shape):
                residuals.append(k)
        else:
            rest.append(k)
    if max((len(family) for family in families.values()), default=0) < 2:
        return None
    return FusionPlan(tuple(map(tuple, families.values())), tuple(identities), tuple(residuals), tuple(rest))


def fused_mix(x: Tensor, candidates: nn.ModuleList, plan: FusionPlan, weights: Tensor) -> Tensor:
    """`sum_k weights[k] * candidates[k](x)` over all candidates. `x`: (B, C, H, W); `weights`: (candidates,)."""
    x = x.contiguous(memory_format=torch.channels_last)
    batch, channels, height, width = x.shape
    flat = x.permute(0, 2, 3, 1).reshape(-1, channels)  # (B*H*W, C), a view
    projected: list[Tensor] = []
    order: list[int] = []
    out_height, out_width = height, width
    for family in plan.families:
        blocks = _blocks(candidates, family)
        expand = torch.cat([_dense(block.expand) for block in blocks])
        h = F.linear(flat, expand)  # (B*H*W, sum of expanded)
        h = h.view(batch, height, width, -1).permute(0, 3, 1, 2)
        h = _norm(h, [block.expand_norm for block in blocks])
        taps = torch.cat([_depthwise_before_shuffle(block) for block in blocks])
        first = blocks[0].depthwise
        h = depthwise(h, taps, first.stride[0], first.training)
        h = h.contiguous(memory_format=torch.channels_last)
        h = _norm(h, [block.depthwise_norm for block in blocks], [_shuffled(block) for block in blocks])
        out_height, out_width = h.shape[2:]
        sizes = [block.depthwise.out_channels for block in blocks]
        parts = h.permute(0, 2, 3, 1).reshape(-1, sum(sizes)).split(sizes, dim=1)
        projected += [
            F.linear(part, _projection_before_shuffle(block)) for part, block in zip(parts, blocks, strict=True)
        ]
        order += family
    z = torch.cat(projected, dim=1).view(batch, out_height, out_width, -1).permute(0, 3, 1, 2)
    picked = weights[order]
    z = _norm(z, _linear_norms(candidates, order), scale=picked)
    out = z.permute(0, 2, 3, 1).reshape(batch, out_height, out_width, len(order), -1).sum(3).permute(0, 3, 1, 2)
    through = [*plan.identities, *plan.residuals]
    if through:
        out = out + weights[through].sum() * x
    for k in plan.rest:
        out = out + weights[k] * candidates[k](x)
    return out


def _dense(conv: nn.Conv2d) -> Tensor:
    """The weight of a 1x1 convolution as a matrix (out, in); a grouped one as its block-diagonal matrix."""
    weight = conv.weight.flatten(1)
    if conv.groups == 1:
        return weight
    return torch.block_diag(*weight.chunk(conv.groups))


def _shuffled(block: Bottleneck) -> Tensor | None:
    """Where the channel shuffle sends each channel, or None without one: channel i goes to position `_shuffled[i]`."""
    if block.groups == 1:
        return None
    channels = block.depthwise.out_channels
    position = torch.arange(channels, device=block.depthwise.weight.device)
    per_group = channels // block.groups
    return position % per_group * block.groups + position // per_group


def _depthwise_before_shuffle(block: Bottleneck) -> Tensor:
    """Depthwise weights in the channel order before the shuffle, which thus needs no pass over the activations."""
    position = _shuffled(block)
    return block.depthwise.weight if position is None else block.depthwise.weight[position]


def _projection_before_shuffle(block: Bottleneck) -> Tensor:
    position = _shuffled(block)
    weight = _dense(block.project)
    return weight if position is None else weight[:, position]


def _norm(
    x: Tensor, norms: Sequence[Any], positions: Sequence[Tensor | None] | None = None, scale: Tensor | None = None
) -> Tensor:
    """Batch norm (and activation) of the concatenation `x`, one of `norms` per part, statistics updated in each.

    `positions[i]` reorders the channels of part i; `scale[i]` multiplies the output of part i (linear norms only).
    """
    positions = positions or [None] * len(norms)

    def joined(name: str) -> Tensor:
        return torch.cat(
            [getattr(n, name) if p is None else getattr(n, name)[p] for n, p in zip(norms, positions, strict=True)]
        )

    first: Any = norms[0]
    weight, bias = joined("weight"), joined("bias")
    if scale is not None:
        spread = scale.repeat_interleave(len(weight) // len(norms))
        weight, bias = weight * spread, bias * spread
    mean, var = joined("running_mean"), joined("running_var")
    y = F.batch_norm(x, mean, var, weight, bias, first.training, first.momentum, first.eps)
    if first.training:
        _update_statistics(norms, positions, mean, var)
    out: Tensor = first.act(y)
    return out


def _linear_norms(candidates: nn.ModuleList, order: Sequence[int]) -> list[Any]:
    """The last batch norm of each block, which has no activation."""
    return [block.project_norm for block in _blocks(candidates, order)]


def _blocks(candidates: nn.ModuleList, order: Sequence[int]) -> list[Bottleneck]:
    chosen: list[Any] = [candidates[k] for k in order]
    return [block.bottleneck() for block in chosen]


@torch.no_grad()
def _update_statistics(norms: Sequence[Any], positions: Sequence[Tensor | None], mean: Tensor, var: Tensor) -> None:
    sizes = [norm.num_features for norm in norms]
    for norm, position, new_mean, new_var in zip(norms, positions, mean.split(sizes), var.split(sizes), strict=True):
        if position is None:
            norm.running_mean.copy_(new_mean)
            norm.running_var.copy_(new_var)
        else:
            norm.running_mean[position] = new_mean
            norm.running_var[position] = new_var
        norm.num_batches_tracked += 1
