"""Convolution, batch norm, activation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.layer import InnerWidths, Layer, Role, later, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.parts.timm_words import timm_block
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class ConvBNAct(Layer):
    """Convolution, batch norm, activation ('' for none): stems, heads, projections, blocks.

    `kernel_size`: a side, or (height, width); even ones with TensorFlow's padding only.
    `residual`: the input is added where shapes agree, behind the activation (first blocks of EfficientNetV2).
    """

    kind: ClassVar[str] = "conv_bn_act"
    role: ClassVar[Role] = "convolution"
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = ("out_channels", "kernel_size", "stride", "residual")
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    kernel_size: int | tuple[int, int] = 1
    stride: int = 1
    groups: int = 1
    act: str = "relu"
    residual: bool = later(False)
    padding: str = later("symmetric")

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "stride", "groups")
        checks.activation(self, "act")
        checks.padding(self)
        checks.kernel(self)

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        _, height, width = self.out_shape(shape)
        yield Conv(shape.channels, self.out_channels, self.kernel_size, self.groups, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        y = tape.conv(x, self.out_channels, self.stride, self.groups, self.act)
        return tape.add(y, x) if self.has_residual(x.shape) else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return conv_bn_act_module()(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        height, width = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else self.kernel_size
        return f"conv{height}x{width}" + ("_tf" if self.padding != "symmetric" else "")

    def table_row(self, shape: Shape) -> Layer:
        return replace(self, residual=self.has_residual(shape))

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        if self.groups > 1 or not isinstance(self.kernel_size, int) or self.kernel_size % 2 == 0:
            return None
        return timm_block("cn", self, shape, shape.channels, kernel_size=self.kernel_size)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        checks.ungrouped(self)
        return InnerWidths()

    def slice_form(self, shape: Shape) -> Hashable:
        """Even kernels and odd ones have no centre in common."""
        height, width = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else self.kernel_size
        return Layer.slice_form(self, shape), height % 2, width % 2

    def build_flat(self, shape: Shape) -> nn.Module:
        """A fresh module with the parameter names of a ReXNet, `conv` and `bn`, for stem and last convolution."""
        from timm.layers import ConvNormAct

        return ConvNormAct(
            shape.channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]  # pairs too
            stride=self.stride,
            padding="same" if self.padding == "tensorflow" else "",
            groups=self.groups,
            apply_act=bool(self.act),
            act_layer=self.act or None,
        )


@torch_class
def conv_bn_act_module() -> type[nn.Module]:
    from timm.layers import DropPath
    from torch import nn

    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.convolution import conv2d, norm_act

    class ConvBNActModule(nn.Module):
        def __init__(self, layer: ConvBNAct, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            kernel, stride, groups = layer.kernel_size, layer.stride, layer.groups
            self.has_residual = layer.has_residual(shape)
            self.conv = conv2d(shape.channels, layer.out_channels, kernel, stride, groups, layer.padding)
            self.bn1 = norm_act(layer.out_channels, layer.act)
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.branch(x) + x if self.has_residual else self.branch(x)

        def branch(self, x: Tensor) -> Tensor:
            """The block without its shortcut."""
            x = self.bn1(self.conv(x))
            return self.drop_path(x) if self.has_residual else x

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            return masks.times(self.branch(x), channels.out)

        def sliced(self, x: Tensor, layer: ConvBNAct) -> Tensor:
            """The block of `layer` on slices of the weights."""
            y = slices.convolved(self.conv, x, layer.out_channels, layer.kernel_size, layer.stride)
            y = slices.normed(self.bn1, y)
            return y + x if layer.has_residual(Shape(*x.shape[1:])) else y

    return ConvBNActModule


__getattr__ = attributes(__name__, ConvBNActModule=conv_bn_act_module)
