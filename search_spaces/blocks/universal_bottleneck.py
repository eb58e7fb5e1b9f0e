"""MobileNetV4's universal inverted bottleneck."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.fused_bottleneck import FusedBottleneck
from search_spaces.blocks.inverted_residual import InvertedResidual
from search_spaces.blocks.layer import InnerWidths, Layer, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.parts.timm_words import timm_block
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Cost, Shape, Stored, make_divisible, total
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class UniversalBottleneck(Layer):
    """UIB (arXiv 2404.10518, 3): [depthwise, BN]; 1x1 expand, BN, act; [depthwise, BN, act]; [SE]; 1x1 project, BN.

    A kernel of 0 means that its depthwise convolution is not there: both are the paper's ExtraDW, the middle one alone
    MobileNetV2's inverted bottleneck, the start one alone ConvNeXt's, neither a feed-forward net of 1x1 convolutions.
    The middle one has the stride, the start one where there is no middle one. `layer_scale`: initial value of a learned
    factor per output channel behind the last norm (arXiv 2103.17239), None for none. The residual is added where input
    and output shapes agree and `residual` is set. Expanded width is `make_divisible(in_channels * expand_ratio)`.
    Raises `ValueError` for a stride where both kernels are 0.
    """

    kind: ClassVar[str] = "universal_bottleneck"
    in_cards: ClassVar[bool] = True
    elastic: ClassVar[tuple[str, ...] | None] = (
        *("out_channels", "start_kernel", "middle_kernel", "stride", "expand_ratio", "se", "residual"),
    )
    widths: ClassVar[tuple[str, ...]] = ("out_channels",)
    out_channels: int
    start_kernel: int = 0
    middle_kernel: int = 3
    stride: int = 1
    expand_ratio: float = 4.0
    act: str = "relu"
    se: SqueezeExcite | None = None
    layer_scale: float | None = None
    residual: bool = True

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "stride")
        checks.odd_or_none(self, "start_kernel", "middle_kernel")
        checks.activation(self, "act")
        checks.expansion(self)
        if self.layer_scale is not None:
            checks.expansion(self, "layer_scale")
        if self.stride > 1 and not (self.start_kernel or self.middle_kernel):
            raise ValueError(
                f"{self.kind}: 1x1 convolutions alone have stride 1, got {self.stride}; give it a middle_kernel"
            )

    @property
    def kernel_size(self) -> int:
        """Of the depthwise convolution between the 1x1 ones, by the name that superkernels know."""
        return self.middle_kernel

    @property
    def start_stride(self) -> int:
        return 1 if self.middle_kernel else self.stride

    def expanded(self, in_channels: int) -> int:
        """Channels between the 1x1 convolutions."""
        return make_divisible(in_channels * self.expand_ratio)

    def has_expand(self, in_channels: int) -> bool:
        return True

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        channels, expanded = shape.channels, self.expanded(shape.channels)
        _, height, width = self.out_shape(shape)
        before = shape.strided(self.start_stride)
        if self.start_kernel:
            yield Conv(channels, channels, self.start_kernel, channels, height=before[0], width=before[1])
        yield Conv(channels, expanded, height=before[0], width=before[1])
        if self.middle_kernel:
            yield Conv(expanded, expanded, self.middle_kernel, expanded, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(channels, expanded)
        yield Conv(expanded, self.out_channels, height=height, width=width)

    def cost(self, shape: Shape) -> Cost:
        convolutions = total(self.convs(shape))
        if self.layer_scale is None:
            return convolutions
        return convolutions._replace(params=convolutions.params + self.out_channels)

    def stored(self, shape: Shape) -> Stored:
        """Its scale is folded into the projection, as a norm is."""
        return Layer.stored(replace(self, layer_scale=None), shape)

    def record(self, tape: Tape, x: Value) -> Value:
        channels, expanded = x.shape.channels, self.expanded(x.shape.channels)
        y = tape.conv(x, channels, self.start_stride, channels) if self.start_kernel else x
        y = tape.conv(y, expanded, act=self.act)
        if self.middle_kernel:
            y = tape.conv(y, expanded, self.stride, expanded, self.act)
        if self.se is not None:
            y = self.se.record(tape, y, channels)
        y = tape.conv(y, self.out_channels)
        return tape.add(y, x) if self.has_residual(x.shape) else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return universal_bottleneck_module()(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        parts = [f"uib_a{self.start_kernel}_k{self.middle_kernel}_e{self.expand_ratio:g}"]
        if self.se is not None:
            parts.append("se")
        if self.layer_scale is not None:
            parts.append("ls")
        return "_".join(parts)

    def table_row(self, shape: Shape) -> Layer:
        """Without start and scale it executes what an inverted residual does, or 1x1 convolutions alone."""
        residual = self.has_residual(shape)
        if self.start_kernel or self.layer_scale is not None:
            return replace(self, residual=residual, layer_scale=self.layer_scale and 1.0)
        if not self.middle_kernel:
            return FusedBottleneck(self.out_channels, 1, 1, self.expand_ratio, self.act, self.se, residual)
        return InvertedResidual(
            self.out_channels,
            self.middle_kernel,
            self.stride,
            self.expand_ratio,
            act=self.act,
            se=self.se,
            residual=residual,
        )

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        if self.layer_scale is not None:
            return None
        kernels = {"dw_kernel_size_start": self.start_kernel, "dw_kernel_size_mid": self.middle_kernel}
        expanded = self.expanded(shape.channels)
        return timm_block("uir", self, shape, expanded, **kernels, exp_ratio=float(self.expand_ratio))

    def batch_family(self, shape: Shape) -> Hashable | None:
        """That of the inverted residual it executes; None with a start, a squeeze or a scale, and for 1x1 alone."""
        same = self.table_row(shape)
        return None if same.kind == self.kind else same.batch_family(shape)

    @property
    def nests(self) -> bool:
        return self.middle_kernel > 0

    @property
    def why_alone(self) -> str:
        return "" if self.nests else "it has no middle depthwise convolution, set its middle_kernel"

    def resized(self, kernel_size: int, expand_ratio: float, se: SqueezeExcite | None) -> Layer:
        return replace(self, middle_kernel=kernel_size, expand_ratio=expand_ratio, se=se)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        expanded = self.expanded(shape.channels)
        squeezed = self.se.squeezed(shape.channels, expanded) if self.se else 0
        return InnerWidths(expanded, squeezed, True, shape.channels if self.start_kernel else 0)


@torch_class
def universal_bottleneck_module() -> type[nn.Module]:
    from timm.layers import DropPath, LayerScale2d
    from torch import nn

    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.bottleneck import Bottleneck
    from search_spaces.blocks.parts.convolution import ConvNorm

    class UniversalBottleneckModule(nn.Module):
        def __init__(self, layer: UniversalBottleneck, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            channels, expanded, act = shape.channels, layer.expanded(shape.channels), layer.act
            start, middle, out = layer.start_kernel, layer.middle_kernel, layer.out_channels
            self.has_residual = layer.has_residual(shape)
            self.dw_start = (
                ConvNorm(channels, channels, start, layer.start_stride, channels) if start else nn.Identity()
            )
            self.pw_exp = ConvNorm(channels, expanded, act=act)
            self.dw_mid = ConvNorm(expanded, expanded, middle, layer.stride, expanded, act) if middle else nn.Identity()
            self.se = layer.se.build(channels, expanded) if layer.se else nn.Identity()
            self.pw_proj = ConvNorm(expanded, out)
            self.layer_scale = nn.Identity() if layer.layer_scale is None else LayerScale2d(out, layer.layer_scale)
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.branch(x) + x if self.has_residual else self.branch(x)

        def branch(self, x: Tensor) -> Tensor:
            """The block without its shortcut."""
            x = self.se(self.dw_mid(self.pw_exp(self.dw_start(x))))
            x = self.layer_scale(self.pw_proj(x))
            return self.drop_path(x) if self.has_residual else x

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            x = masks.projected(self.dw_start(x), self.pw_exp.conv, self.pw_exp.bn, channels.start, None)
            x = masks.squeeze(self.se, self.dw_mid(x), channels.inner, channels.squeezed)
            x = masks.projected(x, self.pw_proj.conv, self.pw_proj.bn, channels.inner, channels.out)
            return self.layer_scale(x)

        def sliced(self, x: Tensor, layer: UniversalBottleneck) -> Tensor:
            """The block of `layer` on slices of the weights."""
            shape, y = Shape(*x.shape[1:]), x
            inner, start, middle = layer.expanded(shape.channels), layer.start_kernel, layer.middle_kernel
            if start:
                y = slices.convolved(self.dw_start.conv, y, shape.channels, start, layer.start_stride)
                y = slices.normed(self.dw_start.bn, y)
            y = slices.normed(self.pw_exp.bn, slices.convolved(self.pw_exp.conv, y, inner))
            if middle:
                y = slices.convolved(self.dw_mid.conv, y, inner, middle, layer.stride)
                y = slices.normed(self.dw_mid.bn, y)
            if layer.se is not None:
                y = slices.squeezed(self.se, y, layer.se.squeezed(shape.channels, inner))
            y = slices.normed(self.pw_proj.bn, slices.convolved(self.pw_proj.conv, y, layer.out_channels))
            y = slices.scaled(self.layer_scale, y)
            return y + x if layer.has_residual(shape) else y

        def bottleneck(self) -> Bottleneck:
            return Bottleneck(
                self.pw_exp.conv,
                self.pw_exp.bn,
                self.dw_mid.conv,
                self.dw_mid.bn,
                self.se,
                self.pw_proj.conv,
                self.pw_proj.bn,
                start=self.dw_start,
                scale=self.layer_scale,
            )

    return UniversalBottleneckModule


__getattr__ = attributes(__name__, UniversalBottleneckModule=universal_bottleneck_module)
