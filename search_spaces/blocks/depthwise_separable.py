"""Depthwise and 1x1 convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.layer import InnerWidths, Layer, later, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.parts.timm_words import timm_block
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class DepthwiseSeparable(Layer):
    """Depthwise, BN, act; [SE]; 1x1 project, BN: the first blocks of MobileNetV2, MnasNet, FBNetV3 and others.

    The residual is added where input and output shapes agree and `residual` is set. `linear=False` puts the activation
    behind the projection too (MobileNetV1, LCNet).
    """

    kind: ClassVar[str] = "depthwise_separable"
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = ("out_channels", "kernel_size", "stride", "se", "residual")
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: str = "relu"
    se: SqueezeExcite | None = None
    residual: bool = True
    linear: bool = later(True)
    padding: str = later("symmetric")

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "kernel_size", "stride")
        checks.odd(self, "kernel_size")
        checks.activation(self, "act")
        checks.padding(self)

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        channels = shape.channels
        _, height, width = self.out_shape(shape)
        yield Conv(channels, channels, self.kernel_size, groups=channels, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(channels, channels)
        yield Conv(channels, self.out_channels, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        channels = x.shape.channels
        y = tape.conv(x, channels, self.stride, channels, self.act)
        if self.se is not None:
            y = self.se.record(tape, y, channels)
        y = tape.conv(y, self.out_channels, act="" if self.linear else self.act)
        return tape.add(y, x) if self.has_residual(x.shape) else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return depthwise_separable_module()(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        marks = ((self.se is not None, "_se"), (not self.linear, "_act"), (self.padding != "symmetric", "_tf"))
        return f"ds_k{self.kernel_size}" + "".join(mark for there, mark in marks if there)

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        inner = {"dw_kernel_size": self.kernel_size, "pw_act": not self.linear}
        return timm_block("ds", self, shape, shape.channels, **inner)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        return InnerWidths(shape.channels, self.se.squeezed(shape.channels, shape.channels) if self.se else 0)


@torch_class
def depthwise_separable_module() -> type[nn.Module]:
    from timm.layers import DropPath
    from torch import nn

    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.convolution import conv2d, norm_act

    class DepthwiseSeparableModule(nn.Module):
        def __init__(self, layer: DepthwiseSeparable, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            channels, kernel, stride = shape.channels, layer.kernel_size, layer.stride
            self.linear = layer.linear
            self.has_residual = layer.has_residual(shape)
            self.conv_dw = conv2d(channels, channels, kernel, stride, channels, layer.padding)
            self.bn1 = norm_act(channels, layer.act)
            self.se = layer.se.build(channels, channels) if layer.se else nn.Identity()
            self.conv_pw = conv2d(channels, layer.out_channels)
            self.bn2 = norm_act(layer.out_channels, "" if layer.linear else layer.act)
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            shortcut = x
            x = self.bn1(self.conv_dw(x))
            x = self.bn2(self.conv_pw(self.se(x)))
            return self.drop_path(x) + shortcut if self.has_residual else x

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            x = masks.squeeze(self.se, self.bn1(self.conv_dw(x)), channels.inner, channels.squeezed)
            if self.linear:
                return masks.projected(x, self.conv_pw, self.bn2, channels.inner, channels.out)
            return masks.times(masks.projected(x, self.conv_pw, self.bn2, channels.inner, None), channels.out)

        def sliced(self, x: Tensor, layer: DepthwiseSeparable) -> Tensor:
            """The block of `layer` on slices of the weights."""
            shape = Shape(*x.shape[1:])
            channels = shape.channels
            y = slices.normed(self.bn1, slices.convolved(self.conv_dw, x, channels, layer.kernel_size, layer.stride))
            if layer.se is not None:
                y = slices.squeezed(self.se, y, layer.se.squeezed(channels, channels))
            y = slices.normed(self.bn2, slices.convolved(self.conv_pw, y, layer.out_channels))
            return y + x if layer.has_residual(shape) else y

    return DepthwiseSeparableModule


__getattr__ = attributes(__name__, DepthwiseSeparableModule=depthwise_separable_module)
