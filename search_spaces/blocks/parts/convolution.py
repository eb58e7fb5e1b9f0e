"""Convolutions and batch norms with timm's classes, so that weights move both ways by plain `load_state_dict`."""

from __future__ import annotations

from timm.layers import BatchNormAct2d, get_act_layer
from torch import Tensor, nn

from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.parts.depthwise import DepthwiseConv2d
from search_spaces.blocks.parts.tensorflow_padding import TensorflowConv2d


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, int] = 1,
    stride: int = 1,
    groups: int = 1,
    padding: str = "symmetric",
) -> nn.Conv2d:
    """Convolution without bias and with "same" padding, one of `checks.PADDINGS`: even kernels have TensorFlow's."""
    sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    if padding == "tensorflow" and (stride > 1 or not all(side % 2 for side in sides)):
        return TensorflowConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    is_fast = isinstance(kernel_size, int) and groups == in_channels == out_channels
    kind = DepthwiseConv2d if is_fast else nn.Conv2d
    around = (sides[0] // 2, sides[1] // 2)
    return kind(in_channels, out_channels, kernel_size, stride, padding=around, groups=groups, bias=False)


def norm_act(channels: int, act: str) -> nn.Module:
    """Batch norm followed by the activation named `act` ('' for none)."""
    if not act:
        return BatchNormAct2d(channels, apply_act=False)
    return BatchNormAct2d(channels, act_layer=get_act_layer(ACTIVATIONS[act]), inplace=True)


class ConvNorm(nn.Module):
    """`conv2d`, batch norm and activation ('' for none) by the names of timm's `ConvNormAct`: `conv` and `bn`."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1, act: str = ""
    ) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, kernel_size, stride, groups)
        self.bn = norm_act(out_channels, act)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` groups (ShuffleNet, arXiv 1707.01083). `x`: (B, C, H, W)."""
    b, c, h, w = x.shape
    return x.reshape(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)
