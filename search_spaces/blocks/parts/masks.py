"""Parts of a block under masks of their channels: 0 for channels that are not there, a mixture's weight between."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.parts.slices import excitation


class ChannelMasks(NamedTuple):
    """(channels,) each, None for all channels: of the output, and of the insides that `InnerWidths` counts."""

    out: Tensor | None = None
    inner: Tensor | None = None
    squeezed: Tensor | None = None
    start: Tensor | None = None


def times(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask[:, None, None]


def projected(x: Tensor, conv: Any, norm: Any, mid: Tensor | None, out: Tensor | None) -> Tensor:
    """`out * norm(conv(mid * x))` for an ungrouped convolution; with `out`, the norm has no activation."""
    weight = conv.weight if mid is None else conv.weight * mid[:, None, None]
    y = F.conv2d(x, weight, None, conv.stride, conv.padding)
    if out is None:
        return norm(y)
    if norm.training:
        norm.num_batches_tracked.add_(1)
    return F.batch_norm(
        y,
        norm.running_mean,
        norm.running_var,
        norm.weight * out,
        norm.bias * out,
        norm.training,
        norm.momentum,
        norm.eps,
    )


def squeeze(module: Any, x: Tensor, mid: Tensor | None, squeezed: Tensor | None) -> Tensor:
    """Squeeze-and-excitation that reads the channels of `mid` and has those of `squeezed`."""
    if isinstance(module, nn.Identity):
        return x
    reduce, norm, act, expand = excitation(module)
    gate = x.mean((2, 3), keepdim=True)
    weight = reduce.weight if mid is None else reduce.weight * mid[:, None, None]
    gate = times(act(norm(F.conv2d(gate, weight, reduce.bias))), squeezed)
    return x * module.gate(expand(gate))
