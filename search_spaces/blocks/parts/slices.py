"""Parts of a block on slices of their weights: channels from the front, kernels from the centre.

A layer is a slice of a larger one of its form (`Layer.slice_form`): its module's weights are those of the larger one,
cut. Nothing is copied and nothing about the slice is stored, so one module serves many layers; gradients reach the
weights that were cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cut(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of `tensor` of that `shape`: the first of its output and input channels, the centre of its kernel.

    One view whatever the number of dimensions that are cut: of a chain of views, one a dimension, each has a gradient
    of its own in backward, the last of them as large as `tensor` and in another order of memory.
    """
    whole = tensor.shape
    if len(whole) == 1:  # norms and biases
        return tensor if whole[0] == shape[0] else tensor.narrow(0, 0, shape[0])
    if whole == tuple(shape):
        return tensor
    strides, offset = tensor.stride(), tensor.storage_offset()
    for dim in range(2, len(whole)):
        offset += (whole[dim] - shape[dim]) // 2 * strides[dim]
    return tensor.as_strided(tuple(shape), strides, offset)


@torch.no_grad()
def copy_into(target: nn.Module, source: nn.Module) -> None:
    """Give `target` the cut weights and statistics of `source`, which holds all of its names."""
    whole = source.state_dict()
    for name, tensor in target.state_dict().items():
        tensor.copy_(cut(whole[name], tensor.shape))


def convolved(
    conv: Any, x: Tensor, out_channels: int, kernel_size: int | tuple[int, int] = 1, stride: int = 1
) -> Tensor:
    """`x` (B, C, H, W) behind the slice of `conv` from C to `out_channels`, of that kernel and stride.

    `conv` is dense or depthwise, of "same" padding, and so is its slice.
    """
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    groups = 1 if conv.groups == 1 else out_channels
    weight = cut(conv.weight, (out_channels, x.shape[1] // groups, *sides))
    if hasattr(conv, "with_weight"):  # has a way of its own
        found: Tensor = conv.with_weight(x, weight, stride)
        return found
    bias = None if conv.bias is None else cut(conv.bias, (out_channels,))
    return F.conv2d(x, weight, bias, stride, (sides[0] // 2, sides[1] // 2), groups=groups)


def normed(norm: Any, x: Tensor) -> Tensor:
    """`x` behind the first channels of a batch norm and its activation; statistics are updated as by the whole one.

    An identity where there is no norm.
    """
    if isinstance(norm, nn.Identity):
        return x
    if norm.training:
        norm.num_batches_tracked.add_(1)
    parts, width = (norm.running_mean, norm.running_var, norm.weight, norm.bias), x.shape[1]
    mean, var, weight, bias = parts if len(norm.weight) == width else (part.narrow(0, 0, width) for part in parts)
    y = F.batch_norm(x, mean, var, weight, bias, norm.training, norm.momentum, norm.eps)
    act = getattr(norm, "act", None)
    return y if act is None else act(y)


def squeezed(module: Any, x: Tensor, channels: int) -> Tensor:
    """Squeeze-and-excitation of `x` on the slice of `module` with that many squeezed `channels`."""
    reduce, norm, act, expand = excitation(module)
    gate = convolved(reduce, x.mean((2, 3), keepdim=True), channels)
    return x * module.gate(convolved(expand, act(normed(norm, gate)), x.shape[1]))


def scaled(module: Any, x: Tensor) -> Tensor:
    """`x` times the first factors of a layer scale; `x` where there is none."""
    return x if isinstance(module, nn.Identity) else x * cut(module.gamma, x.shape[1:2]).view(1, -1, 1, 1)


def excitation(module: Any) -> tuple[Any, Any, Any, Any]:
    """Reduction, norm, activation and expansion of a squeeze-and-excitation, by our names or by timm's."""
    if hasattr(module, "conv_reduce"):
        return module.conv_reduce, module.bn, module.act1, module.conv_expand
    return module.fc1, module.bn, module.act, module.fc2
