"""Leaving a block out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.conv_bn_act import ConvBNAct
from search_spaces.blocks.layer import InnerWidths, Layer, Layout, register
from search_spaces.blocks.parts import checks
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import nn


@register
@dataclass(frozen=True, slots=True)
class Skip(Layer):
    """Nothing where the shape stays; a 1x1 convolution, BN, act of that stride where the shape changes.

    The second case follows the public FBNet implementations (mobile-vision, HW-NAS-Bench); spaces can leave it out.
    """

    kind: ClassVar[str] = "skip"
    layouts: ClassVar[tuple[Layout, ...]] = ("stages", "flat")
    in_cards: ClassVar[bool] = True
    leaves_out: ClassVar[bool] = True
    out_channels: int
    stride: int = 1
    act: str = "relu"

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "stride")
        checks.activation(self, "act")

    def is_identity(self, shape: Shape) -> bool:
        return self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        if not self.is_identity(shape):
            _, height, width = self.out_shape(shape)
            yield Conv(shape.channels, self.out_channels, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        return x if self.is_identity(x.shape) else self._convolution().record(tape, x)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        if not self.is_identity(shape):
            return self._convolution().build(shape)
        from torch import nn

        return nn.Identity()

    @property
    def label(self) -> str:
        return "skip"

    def inner_widths(self, shape: Shape) -> InnerWidths:
        return InnerWidths()

    def table_row(self, shape: Shape) -> Layer | None:
        return None if self.is_identity(shape) else self._convolution()

    def executed(self, shape: Shape) -> Layer | None:
        return self.table_row(shape)

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        return self._convolution().in_timm(shape)

    def _convolution(self) -> ConvBNAct:
        return ConvBNAct(self.out_channels, stride=self.stride, act=self.act)
