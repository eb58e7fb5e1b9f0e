"""Depthwise convolution that trains fast on tiny maps.

Where a kernel is about as large as the map (5x5 on 4x4, 2x2 or 1x1), the CPU's depthwise backward pass leaves its fast
path: forward and backward of 352 channels, batch 64, one thread, take 20 ms where a matrix product needs 7 (5x5 on
4x4), 14 against 3 (on 2x2), 16 against 0.4 (on 1x1). On such maps a depthwise convolution is, per channel, a matrix
from input pixels to output pixels.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL_MAP = 16  # pixels: up to 4x4


def depthwise(x: Tensor, weight: Tensor, stride: int, training: bool) -> Tensor:
    """Depthwise convolution with "same" padding. `x`: (B, C, H, W); `weight`: (C, 1, k, k), k odd.

    Takes the matrix form while training on a CPU where the kernel is wider than a map of at most `SMALL_MAP` pixels,
    and torch's convolution otherwise; both agree up to rounding. Graphs that torch records hold its convolution.
    """
    channels, _, kernel_size, _ = weight.shape
    eager = training and x.device.type == "cpu" and type(x) is Tensor
    if not eager or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return F.conv2d(x, weight, None, stride, kernel_size // 2, groups=channels)
    height, width = x.shape[2:]
    if height * width > SMALL_MAP or kernel_size <= min(height, width):
        return F.conv2d(x, weight, None, stride, kernel_size // 2, groups=channels)
    taps = pixel_taps(height, width, kernel_size, stride, x.dtype)  # (k*k, H*W * Ho*Wo)
    maps = (weight.flatten(1) @ taps).view(channels, height * width, -1)
    # contiguous: with channels last, bmm would otherwise copy its operands matrix by matrix, forward and backward
    pixels = x.permute(1, 0, 2, 3).reshape(channels, -1, height * width).contiguous()
    out = torch.bmm(pixels, maps)  # (C, B, Ho*Wo)
    return out.view(channels, -1, -(-height // stride), -(-width // stride)).transpose(0, 1).contiguous()


@lru_cache(maxsize=64)
def pixel_taps(height: int, width: int, kernel_size: int, stride: int, dtype: torch.dtype) -> Tensor:
    """0-1 matrix (k*k, H*W * Ho*Wo): which kernel tap carries input pixel i to output pixel o."""
    with torch.inference_mode(False):  # it is kept for later calls, which may need gradients
        one_hot = torch.eye(height * width, dtype=dtype, device="cpu").view(-1, 1, height, width)
        taps = F.unfold(one_hot, kernel_size, padding=kernel_size // 2, stride=stride)  # (H*W, k*k, Ho*Wo)
        return taps.transpose(0, 1).reshape(kernel_size**2, -1).contiguous()


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one group per channel and the fast path of `depthwise`; parameters are unchanged.

    In evaluation and in TorchScript it is torch's convolution and nothing else.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # torch.fx asks an instance where it is from: what comes from torch.nn is one node of the graph, as the
        # convolutions of other networks are, and its branches are not traced. The class says the truth, for pickle.
        self.__module__ = nn.Conv2d.__module__

    def with_weight(self, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        """What it makes of `x` with another kernel and stride."""
        return depthwise(x, weight, stride, self.training)

    def forward(self, x: Tensor) -> Tensor:
        # Two conditions, not one: TorchScript must see that the first is constant, and leave out what is below it.
        if not torch.jit.is_scripting():  # noqa: SIM102
            if self.training:
                return depthwise(x, self.weight, self.stride[0], True)
        return self._conv_forward(x, self.weight, self.bias)
