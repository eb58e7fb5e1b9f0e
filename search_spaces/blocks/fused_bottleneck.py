"""The inverted bottleneck whose expansion and depthwise convolution are one dense convolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.layer import InnerWidths, Layer, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.parts.timm_words import timm_block
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Shape, make_divisible
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class FusedBottleneck(Layer):
    """Fused MBConv, timm's EdgeResidual: k x k convolution to the expanded width, BN, act; [SE]; 1x1 project, BN.

    Of EfficientNet-EdgeTPU, MobileDets (arXiv 2004.14525) and EfficientNetV2 (2104.00298). The residual is added where
    input and output shapes agree and `residual` is set. Expanded width is `make_divisible(in_channels * expand_ratio)`.
    """

    kind: ClassVar[str] = "fused_bottleneck"
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = (
        "out_channels",
        "kernel_size",
        "stride",
        "expand_ratio",
        "se",
        "residual",
    )
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    expand_ratio: float = 4.0
    act: str = "relu"
    se: SqueezeExcite | None = None
    residual: bool = True

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "kernel_size", "stride")
        checks.odd(self, "kernel_size")
        checks.activation(self, "act")
        checks.expansion(self)

    def expanded(self, in_channels: int) -> int:
        """Channels between the convolutions."""
        return make_divisible(in_channels * self.expand_ratio)

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        expanded = self.expanded(shape.channels)
        _, height, width = self.out_shape(shape)
        yield Conv(shape.channels, expanded, self.kernel_size, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(shape.channels, expanded)
        yield Conv(expanded, self.out_channels, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        y = tape.conv(x, self.expanded(x.shape.channels), self.stride, act=self.act)
        if self.se is not None:
            y = self.se.record(tape, y, x.shape.channels)
        y = tape.conv(y, self.out_channels)
        return tape.add(y, x) if self.has_residual(x.shape) else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return fused_bottleneck_module()(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        return f"fused_k{self.kernel_size}_e{self.expand_ratio:g}" + ("_se" if self.se is not None else "")

    def table_row(self, shape: Shape) -> Layer:
        return replace(self, residual=self.has_residual(shape))

    @property
    def why_alone(self) -> str:
        return "its kernel is a dense convolution's"

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        inner = {"exp_kernel_size": self.kernel_size, "exp_ratio": float(self.expand_ratio)}
        return timm_block("er", self, shape, self.expanded(shape.channels), **inner)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        expanded = self.expanded(shape.channels)
        return InnerWidths(expanded, self.se.squeezed(shape.channels, expanded) if self.se else 0, True)


@torch_class
def fused_bottleneck_module() -> type[nn.Module]:
    from timm.layers import DropPath
    from torch import nn

    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.convolution import conv2d, norm_act

    class FusedBottleneckModule(nn.Module):
        def __init__(self, layer: FusedBottleneck, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            expanded = layer.expanded(shape.channels)
            self.has_residual = layer.has_residual(shape)
            self.conv_exp = conv2d(shape.channels, expanded, layer.kernel_size, layer.stride)
            self.bn1 = norm_act(expanded, layer.act)
            self.se = layer.se.build(shape.channels, expanded) if layer.se else nn.Identity()
            self.conv_pwl = conv2d(expanded, layer.out_channels)
            self.bn2 = norm_act(layer.out_channels, "")
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.branch(x) + x if self.has_residual else self.branch(x)

        def branch(self, x: Tensor) -> Tensor:
            """The block without its shortcut."""
            x = self.bn2(self.conv_pwl(self.se(self.bn1(self.conv_exp(x)))))
            return self.drop_path(x) if self.has_residual else x

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            x = masks.squeeze(self.se, self.bn1(self.conv_exp(x)), channels.inner, channels.squeezed)
            return masks.projected(x, self.conv_pwl, self.bn2, channels.inner, channels.out)

        def sliced(self, x: Tensor, layer: FusedBottleneck) -> Tensor:
            """The block of `layer` on slices of the weights."""
            shape = Shape(*x.shape[1:])
            inner = layer.expanded(shape.channels)
            y = slices.normed(self.bn1, slices.convolved(self.conv_exp, x, inner, layer.kernel_size, layer.stride))
            if layer.se is not None:
                y = slices.squeezed(self.se, y, layer.se.squeezed(shape.channels, inner))
            y = slices.normed(self.bn2, slices.convolved(self.conv_pwl, y, layer.out_channels))
            return y + x if layer.has_residual(shape) else y

    return FusedBottleneckModule


__getattr__ = attributes(__name__, FusedBottleneckModule=fused_bottleneck_module)
