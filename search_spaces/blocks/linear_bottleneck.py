"""ReXNet's bottleneck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.layer import InnerWidths, Layer, Layout, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Shape, make_divisible
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class LinearBottleneck(Layer):
    """ReXNet's block (arXiv 2007.00992): [1x1 expand, BN, act]; depthwise, BN; [SE]; dw_act; 1x1 project, BN.

    No expansion where `expand_ratio` is 1. Expanded width is `round(in_channels * expand_ratio)` rounded to `divisor`.
    At stride 1 with at least as many output as input channels, the input is added to the first `in_channels` output
    channels only (the partial-channel residual).
    """

    kind: ClassVar[str] = "linear_bottleneck"
    layouts: ClassVar[tuple[Layout, ...]] = ("flat",)
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = ("out_channels", "kernel_size", "stride", "expand_ratio", "se")
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    expand_ratio: float = 6.0
    act: str = "silu"
    dw_act: str = "relu6"
    se: SqueezeExcite | None = None
    divisor: int = 1

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "kernel_size", "stride", "divisor")
        checks.odd(self, "kernel_size")
        checks.activation(self, "act", "dw_act")
        checks.expansion(self)

    def expanded(self, in_channels: int) -> int:
        """Channels of the depthwise convolution."""
        return make_divisible(round(in_channels * self.expand_ratio), self.divisor) if self.has_expand else in_channels

    @property
    def has_expand(self) -> bool:
        return self.expand_ratio != 1

    def has_residual(self, shape: Shape) -> bool:
        return self.stride == 1 and shape.channels <= self.out_channels

    def convs(self, shape: Shape) -> Iterator[Conv]:
        expanded = self.expanded(shape.channels)
        _, height, width = self.out_shape(shape)
        if self.has_expand:
            yield Conv(shape.channels, expanded, height=shape.height, width=shape.width)
        yield Conv(expanded, expanded, self.kernel_size, groups=expanded, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(shape.channels, expanded)
        yield Conv(expanded, self.out_channels, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        channels, expanded = x.shape.channels, self.expanded(x.shape.channels)
        y = tape.conv(x, expanded, act=self.act) if self.has_expand else x
        y = tape.conv(y, expanded, self.stride, expanded)
        if self.se is not None:
            y = self.se.record(tape, y, channels)
        if self.dw_act:
            y = tape.act(y)
        y = tape.conv(y, self.out_channels)
        if not self.has_residual(x.shape):
            return y
        if channels == self.out_channels:
            return tape.add(y, x)
        return tape.concat(tape.add(tape.part(y, channels), x), tape.part(y, self.out_channels - channels))

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return linear_bottleneck_module()(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        return f"lb_k{self.kernel_size}_e{self.expand_ratio:g}" + ("_se" if self.se is not None else "")

    def inner_widths(self, shape: Shape) -> InnerWidths:
        expanded = self.expanded(shape.channels)
        squeezed = self.se.squeezed(shape.channels, expanded) if self.se else 0
        return InnerWidths(expanded, squeezed, self.has_expand)


@torch_class
def linear_bottleneck_module() -> type[nn.Module]:
    import torch
    from timm.layers import ConvNormAct, DropPath, SEModule, create_act_layer, get_act_layer
    from torch import nn

    from search_spaces.blocks.parts import masks, slices

    class LinearBottleneckModule(nn.Module):
        def __init__(self, layer: LinearBottleneck, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            channels, expanded, se = shape.channels, layer.expanded(shape.channels), layer.se
            self.in_channels = channels
            self.has_residual = layer.has_residual(shape)
            self.widens = channels < layer.out_channels
            self.conv_exp = ConvNormAct(channels, expanded, act_layer=layer.act) if layer.has_expand else nn.Identity()
            self.conv_dw = ConvNormAct(
                expanded, expanded, layer.kernel_size, stride=layer.stride, groups=expanded, apply_act=False
            )
            self.se = (
                SEModule(
                    expanded,
                    rd_channels=se.squeezed(channels, expanded),
                    act_layer=get_act_layer(ACTIVATIONS[se.act]),
                    gate_layer=se.gate,
                    norm_layer=nn.BatchNorm2d if se.norm else None,
                )
                if se
                else nn.Identity()
            )
            self.act_dw = create_act_layer(ACTIVATIONS[layer.dw_act]) if layer.dw_act else nn.Identity()
            self.conv_pwl = ConvNormAct(expanded, layer.out_channels, apply_act=False)
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            shortcut = x
            x = self.conv_pwl(self.act_dw(self.se(self.conv_dw(self.conv_exp(x)))))
            if not self.has_residual:
                return x
            x = self.drop_path(x)
            if not self.widens:
                return x + shortcut
            # Concatenated, not added in place: exporters turn an in-place add on a slice into wrong graphs or warnings.
            return torch.cat([x[:, : self.in_channels] + shortcut, x[:, self.in_channels :]], dim=1)

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            x = self.act_dw(masks.squeeze(self.se, self.conv_dw(self.conv_exp(x)), channels.inner, channels.squeezed))
            return masks.projected(x, self.conv_pwl.conv, self.conv_pwl.bn, channels.inner, channels.out)

        def sliced(self, x: Tensor, layer: LinearBottleneck) -> Tensor:
            """The block of `layer` on slices of the weights."""
            shape, y = Shape(*x.shape[1:]), x
            inner = layer.expanded(shape.channels)
            if layer.has_expand:
                y = slices.normed(self.conv_exp.bn, slices.convolved(self.conv_exp.conv, y, inner))
            y = slices.convolved(self.conv_dw.conv, y, inner, layer.kernel_size, layer.stride)
            y = slices.normed(self.conv_dw.bn, y)
            if layer.se is not None:
                y = slices.squeezed(self.se, y, layer.se.squeezed(shape.channels, inner))
            y = slices.convolved(self.conv_pwl.conv, self.act_dw(y), layer.out_channels)
            y = slices.normed(self.conv_pwl.bn, y)
            if not layer.has_residual(shape):
                return y
            return y + x if y.shape == x.shape else torch.cat([y[:, : x.shape[1]] + x, y[:, x.shape[1] :]], dim=1)

    return LinearBottleneckModule


__getattr__ = attributes(__name__, LinearBottleneckModule=linear_bottleneck_module)
