"""The head of MobileNetV3, MobileNetV4 and FBNetV3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.layer import InnerWidths, Layer, Role, later, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class PooledConv(Layer):
    """Global average pool, 1x1 convolution, activation: the head of MobileNetV3 and FBNetV3.

    `norm`: batch norm between the last two, and no bias: MobileNetV4's. Raises `ValueError` where both are asked for.
    """

    kind: ClassVar[str] = "pooled_conv"
    role: ClassVar[Role] = "pooled_convolution"
    elastic: ClassVar[tuple[str, ...] | None] = ("out_channels",)
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    act: str = "hard_swish"
    bias: bool = False
    norm: bool = later(False)

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels")
        checks.activation(self, "act")
        if self.bias and self.norm:
            raise ValueError(f"{self.kind}: a batch norm takes a bias away; set bias or norm, not both")

    def convs(self, shape: Shape) -> Iterator[Conv]:
        yield Conv(shape.channels, self.out_channels, bias=self.bias, norm=self.norm)

    def record(self, tape: Tape, x: Value) -> Value:
        return tape.conv(tape.pool(x), self.out_channels, act=self.act)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, 1, 1)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        return InnerWidths()

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return pooled_conv_module()(self, shape)


@torch_class
def pooled_conv_module() -> type[nn.Module]:
    from timm.layers import create_act_layer
    from torch import nn

    from search_spaces.blocks.parts import slices
    from search_spaces.blocks.parts.convolution import norm_act

    class PooledConvModule(nn.Module):
        def __init__(self, layer: PooledConv, shape: Shape) -> None:
            super().__init__()
            self.conv = nn.Conv2d(shape.channels, layer.out_channels, 1, bias=layer.bias)
            self.norm: nn.Module = nn.Identity()
            self.act: nn.Module = nn.Identity()
            if layer.norm:
                self.norm = norm_act(layer.out_channels, layer.act)
            elif layer.act:
                self.act = create_act_layer(ACTIVATIONS[layer.act], inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.norm(self.conv(x.mean((2, 3), keepdim=True))))

        def sliced(self, x: Tensor, layer: PooledConv) -> Tensor:
            """The layer `layer` on slices of the weights."""
            y = slices.convolved(self.conv, x.mean((2, 3), keepdim=True), layer.out_channels)
            return self.act(slices.normed(self.norm, y))

    return PooledConvModule


__getattr__ = attributes(__name__, PooledConvModule=pooled_conv_module)
