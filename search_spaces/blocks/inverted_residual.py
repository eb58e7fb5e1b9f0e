"""The inverted residual (MBConv) with FBNet's variants."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.blocks.layer import InnerWidths, Layer, later, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.blocks.parts.timm_words import timm_block
from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Shape, make_divisible
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


MOST_DEPTHWISE = 16  # stacked in one block


@register
@dataclass(frozen=True, slots=True)
class InvertedResidual(Layer):
    """MBConv (MobileNetV2, FBNet, FBNetV3...): 1x1 expand, BN, act; depthwise, BN, act; [SE]; 1x1 project, BN.

    The residual is added where input and output shapes agree and `residual` is set. Expanded width is
    `make_divisible(in_channels * expand_ratio)`. FBNet's variants:

    - `groups=2`: both 1x1 convolutions grouped, one channel shuffle between the first and the depthwise.
    - `expand_at_1=False`: no 1x1 expansion where it would not widen (mobile-vision's PyTorch nets); a grouped
      block then is shuffle, depthwise, grouped 1x1.
    - `num_depthwise=2`: two stacked depthwise convolutions, stride on the first (the "k3 sep" block of the 2019 nets).
    """

    kind: ClassVar[str] = "inverted_residual"
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
    expand_ratio: float = 6.0
    groups: int = 1
    act: str = "relu"
    se: SqueezeExcite | None = None
    residual: bool = True
    expand_at_1: bool = True
    num_depthwise: int = 1
    padding: str = later("symmetric")

    def __post_init__(self) -> None:
        checks.positive(self, "out_channels", "kernel_size", "stride", "groups")
        checks.positive(self, "num_depthwise", most=MOST_DEPTHWISE)
        checks.odd(self, "kernel_size")
        checks.activation(self, "act")
        checks.expansion(self)
        checks.padding(self)

    def expanded(self, in_channels: int) -> int:
        """Channels of the depthwise convolution."""
        return make_divisible(in_channels * self.expand_ratio)

    def has_expand(self, in_channels: int) -> bool:
        return self.expand_at_1 or self.expanded(in_channels) != in_channels

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        expanded = self.expanded(shape.channels)
        _, height, width = self.out_shape(shape)
        if self.has_expand(shape.channels):
            yield Conv(shape.channels, expanded, groups=self.groups, height=shape.height, width=shape.width)
        for _ in range(self.num_depthwise):
            yield Conv(expanded, expanded, self.kernel_size, groups=expanded, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(shape.channels, expanded)
        yield Conv(expanded, self.out_channels, groups=self.groups, height=height, width=width)

    def record(self, tape: Tape, x: Value) -> Value:
        expanded = self.expanded(x.shape.channels)
        y = tape.conv(x, expanded, groups=self.groups, act=self.act) if self.has_expand(x.shape.channels) else x
        if self.groups > 1:
            y = tape.shuffle(y)
        for i in range(self.num_depthwise):
            y = tape.conv(y, expanded, 1 if i else self.stride, expanded, self.act)
        if self.se is not None:
            y = self.se.record(tape, y, x.shape.channels)
        y = tape.conv(y, self.out_channels, groups=self.groups)
        return tape.add(y, x) if self.has_residual(x.shape) else y

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return inverted_residual_module()(self, shape, drop_path_rate)

    def build_enclosing(self, shape: Shape, expands: bool) -> nn.Module:
        return replace(self, expand_at_1=expands).build(shape)

    @property
    def label(self) -> str:
        parts = [f"k{self.kernel_size}", f"e{self.expand_ratio:g}"]
        if self.groups > 1:
            parts.append(f"g{self.groups}")
        if self.num_depthwise > 1:
            parts.append("sep")
        if self.se is not None:
            parts.append("se")
        if self.padding != "symmetric":
            parts.append("tf")
        return "_".join(parts)

    def table_row(self, shape: Shape) -> Layer:
        expands = self.expand_at_1 or self.has_expand(shape.channels)
        return replace(self, residual=self.has_residual(shape), expand_at_1=expands)

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        if self.groups > 1 or self.num_depthwise > 1 or not self.has_expand(shape.channels):
            return None
        inner = {"dw_kernel_size": self.kernel_size, "exp_ratio": float(self.expand_ratio)}
        return timm_block("ir", self, shape, self.expanded(shape.channels), **inner)

    def batch_family(self, shape: Shape) -> Hashable | None:
        if self.se is not None or self.num_depthwise > 1 or not self.has_expand(shape.channels):
            return None
        if self.padding != "symmetric":
            return None
        return self.kernel_size, self.stride, self.act

    @property
    def nests(self) -> bool:
        return self.groups == self.num_depthwise == 1 and self.padding == "symmetric"

    @property
    def why_alone(self) -> str:
        reasons = (
            (self.groups > 1, "its convolutions are grouped"),
            (self.num_depthwise > 1, "it has several depthwise convolutions"),
            (self.padding != "symmetric", "its padding is TensorFlow's"),
        )
        return next((reason for holds, reason in reasons if holds), "")

    def inner_widths(self, shape: Shape) -> InnerWidths:
        checks.ungrouped(self)
        expanded = self.expanded(shape.channels)
        squeezed = self.se.squeezed(shape.channels, expanded) if self.se else 0
        return InnerWidths(expanded, squeezed, self.has_expand(shape.channels))


@torch_class
def inverted_residual_module() -> type[nn.Module]:
    from timm.layers import DropPath
    from torch import nn

    from search_spaces.blocks.parts import masks, slices
    from search_spaces.blocks.parts.bottleneck import Bottleneck
    from search_spaces.blocks.parts.convolution import channel_shuffle, conv2d, norm_act

    class InvertedResidualModule(nn.Module):
        __constants__ = ("has_expand",)  # TorchScript leaves out the branch for modules that are not there

        def __init__(self, layer: InvertedResidual, shape: Shape, drop_path_rate: float = 0.0) -> None:
            super().__init__()
            expanded, kernel, act = layer.expanded(shape.channels), layer.kernel_size, layer.act
            self.groups = layer.groups
            self.has_expand = layer.has_expand(shape.channels)
            self.has_residual = layer.has_residual(shape)
            if self.has_expand:
                self.conv_pw = conv2d(shape.channels, expanded, groups=layer.groups)
                self.bn1 = norm_act(expanded, act)
            self.conv_dw = conv2d(expanded, expanded, kernel, layer.stride, expanded, layer.padding)
            self.bn2 = norm_act(expanded, act)
            self.more_depthwise = nn.ModuleList(
                nn.Sequential(conv2d(expanded, expanded, kernel, groups=expanded), norm_act(expanded, act))
                for _ in range(layer.num_depthwise - 1)
            )
            self.se = layer.se.build(shape.channels, expanded) if layer.se else nn.Identity()
            self.conv_pwl = conv2d(expanded, layer.out_channels, groups=layer.groups)
            self.bn3 = norm_act(layer.out_channels, "")
            self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.branch(x) + x if self.has_residual else self.branch(x)

        def branch(self, x: Tensor) -> Tensor:
            """The block without its shortcut."""
            if self.has_expand:
                x = self.bn1(self.conv_pw(x))
            if self.groups > 1:
                x = channel_shuffle(x, self.groups)
            x = self.bn2(self.conv_dw(x))
            for depthwise in self.more_depthwise:
                x = depthwise(x)
            x = self.bn3(self.conv_pwl(self.se(x)))
            return self.drop_path(x) if self.has_residual else x

        def masked(self, x: Tensor, channels: masks.ChannelMasks) -> Tensor:
            x = self.bn2(self.conv_dw(self.bn1(self.conv_pw(x)) if self.has_expand else x))
            for further in self.more_depthwise:
                x = further(x)
            x = masks.squeeze(self.se, x, channels.inner, channels.squeezed)
            return masks.projected(x, self.conv_pwl, self.bn3, channels.inner, channels.out)

        def sliced(self, x: Tensor, layer: InvertedResidual) -> Tensor:
            """The block of `layer`, of which this is one of `slice_form` or the same, on slices of the weights."""
            shape, y = Shape(*x.shape[1:]), x
            inner = layer.expanded(shape.channels)
            if layer.has_expand(shape.channels):
                y = slices.normed(self.bn1, slices.convolved(self.conv_pw, y, inner))
            y = slices.normed(self.bn2, slices.convolved(self.conv_dw, y, inner, layer.kernel_size, layer.stride))
            more: Any = self.more_depthwise
            for conv, norm in more:
                y = slices.normed(norm, slices.convolved(conv, y, inner, layer.kernel_size))
            if layer.se is not None:
                y = slices.squeezed(self.se, y, layer.se.squeezed(shape.channels, inner))
            y = slices.normed(self.bn3, slices.convolved(self.conv_pwl, y, layer.out_channels))
            return y + x if layer.has_residual(shape) else y

        def bottleneck(self) -> Bottleneck:
            parts = self.conv_pw, self.bn1, self.conv_dw, self.bn2, self.se, self.conv_pwl, self.bn3
            return Bottleneck(*parts, groups=self.groups)

    return InvertedResidualModule


__getattr__ = attributes(__name__, InvertedResidualModule=inverted_residual_module)
