"""ResNet's basic block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from search_spaces.blocks.layer import InnerWidths, Layer, later, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class ResidualBlock(Layer):
    """Two k x k convolutions with BN, act between them, the shortcut added, act (He et al., arXiv 1512.03385).

    The shortcut is the input where input and output shapes agree, else a 1x1 convolution of the block's stride:
    `projection="norm"` with BN (ResNet's option B), `"bias"` with a bias and no BN (the ResNet8 of MLPerf Tiny). What
    is added passes the last activation too, so that shortcuts of several candidates cannot be added once. Raises
    `ValueError` for another projection.
    """

    kind: ClassVar[str] = "residual_block"
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = ("out_channels", "kernel_size", "stride")
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: str = "relu"
    projection: Literal["norm", "bias"] = "norm"
    padding: str = later("symmetric")

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "kernel_size", "stride")
        checks.odd(self, "kernel_size")
        checks.activation(self, "act")
        checks.padding(self)
        if self.projection not in ("norm", "bias"):
            raise ValueError(f"{self.kind}: projection must be 'norm' or 'bias', got {self.projection!r}")

    def has_residual(self, shape: Shape) -> bool:
        return self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        out, kernel = self.out_channels, self.kernel_size
        _, height, width = self.out_shape(shape)
        yield Conv(shape.channels, out, kernel, height=height, width=width)
        yield Conv(out, out, kernel, height=height, width=width)
        if not self.has_residual(shape):
            norm = self.projection == "norm"
            yield Conv(shape.channels, out, bias=not norm, norm=norm, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        y = tape.conv(tape.conv(x, self.out_channels, self.stride, act=self.act), self.out_channels)
        shortcut = x if self.has_residual(x.shape) else tape.conv(x, self.out_channels, self.stride)
        y = tape.add(y, shortcut)
        return tape.act(y) if self.act else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return residual_block_module()(self, shape, drop_path_rate)

    def build_enclosing(self, shape: Shape, expands: bool) -> nn.Module:
        return residual_block_module()(self, shape, projects=expands)

    @property
    def label(self) -> str:
        return f"res_k{self.kernel_size}" + ("_tf" if self.padding != "symmetric" else "")

    def table_row(self, shape: Shape) -> Layer:
        return replace(self, projection="norm") if self.has_residual(shape) else self

    @property
    def why_alone(self) -> str:
        return "its kernels are dense convolutions', and its shortcut passes an activation"

    def inner_widths(self, shape: Shape) -> InnerWidths:
        return InnerWidths(self.out_channels, 0, not self.has_residual(shape))


@torch_class
def residual_block_module() -> type[nn.Module]:
    from timm.layers import DropPath, create_act_layer
    from torch import nn

    from search_spaces.blocks.activations import ACTIVATIONS
    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.convolution import conv2d, norm_act

    class ResidualBlockModule(nn.Module):
        def __init__(
            self, layer: ResidualBlock, shape: Shape, drop_path_rate: float = 0.0, projects: bool | None = None
        ) -> None:
            super().__init__()
            channels, out, kernel, stride = shape.channels, layer.out_channels, layer.kernel_size, layer.stride
            self.has_residual = layer.has_residual(shape) if projects is None else not projects
            self.conv1 = conv2d(channels, out, kernel, stride, padding=layer.padding)
            self.bn1 = norm_act(out, layer.act)
            self.conv2 = conv2d(out, out, kernel)
            self.bn2 = norm_act(out, "")
            self.act2 = create_act_layer(ACTIVATIONS[layer.act], inplace=True) if layer.act else nn.Identity()
            if self.has_residual:
                self.downsample = nn.Sequential()
            elif layer.projection == "norm":
                self.downsample = nn.Sequential(conv2d(channels, out, 1, stride), norm_act(out, ""))
            else:
                self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride))
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            branch = self.bn2(self.conv2(self.bn1(self.conv1(x))))
            return self.behind_shortcut(self.drop_path(branch) + self.downsample(x))

        def behind_shortcut(self, x: Tensor) -> Tensor:
            return self.act2(x)

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            y = self.bn1(self.conv1(x))
            y = masks.projected(y, self.conv2, self.bn2, channels.inner, channels.out)
            if self.has_residual:
                return y
            if len(self.downsample) == 1:
                return y + masks.times(self.downsample[0](x), channels.out)
            return y + masks.projected(x, self.downsample[0], self.downsample[1], None, channels.out)

        def sliced(self, x: Tensor, layer: ResidualBlock) -> Tensor:
            """The block of `layer` on slices of the weights."""
            out, kernel = layer.out_channels, layer.kernel_size
            y = slices.normed(self.bn1, slices.convolved(self.conv1, x, out, kernel, layer.stride))
            y = slices.normed(self.bn2, slices.convolved(self.conv2, y, out, kernel))
            if not layer.has_residual(Shape(*x.shape[1:])):
                conv, *norm = self.downsample
                x = slices.convolved(conv, x, out, 1, layer.stride)
                x = slices.normed(norm[0], x) if norm else x
            return self.behind_shortcut(y + x)

    return ResidualBlockModule


__getattr__ = attributes(__name__, ResidualBlockModule=residual_block_module)
