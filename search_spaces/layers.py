"""The kinds of layer a network is made of: frozen data that prices itself and builds its module.

A layer holds what a choice decides and never its input channels: those come from what precedes it, so that
neighbours cannot disagree. `convs(shape)` lists its convolutions for an input shape; parameters, MACs and
activations are sums over that list, and `out_shape` is what the next layer sees.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.costs import Conv, Cost, Shape, make_divisible, total
from search_spaces.squeeze_excite import ACTIVATIONS, SqueezeExcite

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of every layer kind. Subclasses are data plus `convs`, `out_shape`, `build` and a short `label`."""

    kind: ClassVar[str] = ""

    def convs(self, shape: Shape) -> Iterator[Conv]:
        """The convolutions executed for one image of input `shape`, in order."""
        raise TypeError(f"{type(self).__name__} does not list its convolutions")

    def out_shape(self, shape: Shape) -> Shape:
        """Output shape for input `shape`."""
        raise TypeError(f"{type(self).__name__} does not state its output shape")

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        """A fresh module for input `shape`; `drop_path_rate` is stochastic depth on the residual branch, if any."""
        raise TypeError(f"{type(self).__name__} does not build a module")

    def cost(self, shape: Shape) -> Cost:
        """Parameters, MACs and activations for input `shape`."""
        return total(self.convs(shape))

    @property
    def label(self) -> str:
        """Short name for tables and logs."""
        return self.kind

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `kind` plus every field."""
        return {"kind": self.kind, **dataclasses.asdict(self)}


MOST_CHANNELS = 2**24  # and classes; no tensor of a larger side is of use, and their products stay countable
MOST_DEPTHWISE = 16  # stacked in one block
MOST_EXPANSION = 1000


def _positive(layer: Layer, *names: str, most: int = MOST_CHANNELS) -> None:
    for name in names:
        value = getattr(layer, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{layer.kind}: {name} must be a whole number >= 1, got {value!r}")
        if value > most:
            raise ValueError(f"{layer.kind}: {name} must be at most {most}, got {value:.6g}")


def _expand_ratio(layer: InvertedResidual | LinearBottleneck) -> None:
    """Check the ratio and make it a float."""
    ratio = layer.expand_ratio
    if not 0 < ratio <= MOST_EXPANSION:
        raise ValueError(f"{layer.kind}: expand_ratio must be > 0 and at most {MOST_EXPANSION}, got {ratio!r}")
    object.__setattr__(layer, "expand_ratio", float(ratio))


def _known_act(layer: Layer, act: str) -> None:
    if act not in ACTIVATIONS and act != "":
        raise ValueError(f"{layer.kind}: unknown activation {act!r}; one of {', '.join(ACTIVATIONS)} (or '' for none)")


def _odd_kernel(layer: Layer, kernel_size: int) -> None:
    if kernel_size % 2 == 0:
        raise ValueError(f"{layer.kind}: kernel_size must be odd ('same' padding), got {kernel_size}")


@dataclass(frozen=True, slots=True)
class ConvBNAct(Layer):
    """Convolution, batch norm, activation ('' for none): stems, heads, projections."""

    kind: ClassVar[str] = "conv_bn_act"
    out_channels: int
    kernel_size: int = 1
    stride: int = 1
    groups: int = 1
    act: str = "relu"

    def __post_init__(self) -> None:
        _positive(self, "out_channels", "kernel_size", "stride", "groups")
        _odd_kernel(self, self.kernel_size)
        _known_act(self, self.act)

    def convs(self, shape: Shape) -> Iterator[Conv]:
        _, height, width = self.out_shape(shape)
        yield Conv(shape.channels, self.out_channels, self.kernel_size, self.groups, height=height, width=width)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.ConvBNAct(self, shape)

    @property
    def label(self) -> str:
        return f"conv{self.kernel_size}x{self.kernel_size}"


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

    def __post_init__(self) -> None:
        _positive(self, "out_channels", "kernel_size", "stride", "groups")
        _positive(self, "num_depthwise", most=MOST_DEPTHWISE)
        _odd_kernel(self, self.kernel_size)
        _known_act(self, self.act)
        _expand_ratio(self)

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

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.InvertedResidual(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        parts = [f"k{self.kernel_size}", f"e{self.expand_ratio:g}"]
        if self.groups > 1:
            parts.append(f"g{self.groups}")
        if self.num_depthwise > 1:
            parts.append("sep")
        if self.se is not None:
            parts.append("se")
        return "_".join(parts)


@dataclass(frozen=True, slots=True)
class DepthwiseSeparable(Layer):
    """Depthwise, BN, act; [SE]; 1x1 project, BN (no activation): first blocks of MobileNetV2, Single-Path, FBNetV3."""

    kind: ClassVar[str] = "depthwise_separable"
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    act: str = "relu"
    se: SqueezeExcite | None = None
    residual: bool = True

    def __post_init__(self) -> None:
        _positive(self, "out_channels", "kernel_size", "stride")
        _odd_kernel(self, self.kernel_size)
        _known_act(self, self.act)

    def has_residual(self, shape: Shape) -> bool:
        return self.residual and self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        channels = shape.channels
        _, height, width = self.out_shape(shape)
        yield Conv(channels, channels, self.kernel_size, groups=channels, height=height, width=width)
        if self.se is not None:
            yield from self.se.convs(channels, channels)
        yield Conv(channels, self.out_channels, height=height, width=width)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.DepthwiseSeparable(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        return f"ds_k{self.kernel_size}" + ("_se" if self.se is not None else "")


@dataclass(frozen=True, slots=True)
class LinearBottleneck(Layer):
    """ReXNet's block (arXiv 2007.00992): [1x1 expand, BN, act]; depthwise, BN; [SE]; dw_act; 1x1 project, BN.

    No expansion where `expand_ratio` is 1. Expanded width is `round(in_channels * expand_ratio)` rounded to `divisor`.
    At stride 1 with at least as many output as input channels, the input is added to the first `in_channels` output
    channels only (the partial-channel residual).
    """

    kind: ClassVar[str] = "linear_bottleneck"
    out_channels: int
    kernel_size: int = 3
    stride: int = 1
    expand_ratio: float = 6.0
    act: str = "silu"
    dw_act: str = "relu6"
    se: SqueezeExcite | None = None
    divisor: int = 1

    def __post_init__(self) -> None:
        _positive(self, "out_channels", "kernel_size", "stride", "divisor")
        _odd_kernel(self, self.kernel_size)
        _known_act(self, self.act)
        _known_act(self, self.dw_act)
        _expand_ratio(self)

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

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.LinearBottleneck(self, shape, drop_path_rate)

    @property
    def label(self) -> str:
        return f"lb_k{self.kernel_size}_e{self.expand_ratio:g}" + ("_se" if self.se is not None else "")


@dataclass(frozen=True, slots=True)
class Skip(Layer):
    """Nothing where the shape stays; a 1x1 convolution, BN, act of that stride where the shape changes.

    The second case follows the public FBNet implementations (mobile-vision, HW-NAS-Bench); spaces can leave it out.
    """

    kind: ClassVar[str] = "skip"
    out_channels: int
    stride: int = 1
    act: str = "relu"

    def __post_init__(self) -> None:
        _positive(self, "out_channels", "stride")
        _known_act(self, self.act)

    def is_identity(self, shape: Shape) -> bool:
        return self.out_shape(shape) == shape

    def convs(self, shape: Shape) -> Iterator[Conv]:
        if not self.is_identity(shape):
            _, height, width = self.out_shape(shape)
            yield Conv(shape.channels, self.out_channels, height=height, width=width)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, *shape.strided(self.stride))

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.skip(self, shape)

    @property
    def label(self) -> str:
        return "skip"


@dataclass(frozen=True, slots=True)
class PooledConv(Layer):
    """Global average pool, 1x1 convolution without batch norm, activation: the MobileNetV3 and FBNetV3 head."""

    kind: ClassVar[str] = "pooled_conv"
    out_channels: int
    act: str = "hard_swish"
    bias: bool = False

    def __post_init__(self) -> None:
        _positive(self, "out_channels")
        _known_act(self, self.act)

    def convs(self, shape: Shape) -> Iterator[Conv]:
        yield Conv(shape.channels, self.out_channels, bias=self.bias, norm=False)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.out_channels, 1, 1)

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.PooledConv(self, shape)


@dataclass(frozen=True, slots=True)
class Classifier(Layer):
    """Global average pool and a linear layer with bias: the last layer of every network."""

    kind: ClassVar[str] = "classifier"
    num_classes: int

    def __post_init__(self) -> None:
        _positive(self, "num_classes")

    def convs(self, shape: Shape) -> Iterator[Conv]:
        yield Conv(shape.channels, self.num_classes, bias=True, norm=False)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.num_classes, 1, 1)

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        from search_spaces import modules

        return modules.Classifier(self, shape)


KINDS: dict[str, type[Layer]] = {
    cls.kind: cls
    for cls in (ConvBNAct, InvertedResidual, DepthwiseSeparable, LinearBottleneck, Skip, PooledConv, Classifier)
}


def layer_from_dict(data: Any) -> Layer:
    """The layer that `Layer.to_dict` wrote. Unknown kinds, unknown or missing fields and bad values are refused."""
    if not isinstance(data, dict) or "kind" not in data:
        raise ValueError(f"a layer is an object with a 'kind', got {str(data)[:80]}")
    kind = data["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown layer kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    cls = KINDS[kind]
    known = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(data) - set(known) - {"kind"})
    if unknown:
        raise ValueError(f"layer {kind!r} has no field {unknown[0]!r}; it has {', '.join(known)}")
    values = {name: data[name] for name in known if name in data}
    if isinstance(values.get("se"), dict):
        values["se"] = _squeeze_excite_from_dict(values["se"])
    for name, value in values.items():
        _check_type(kind, name, str(known[name].type), value)
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"layer {kind!r} is incomplete: {error}") from None


def _squeeze_excite_from_dict(data: dict[str, Any]) -> SqueezeExcite:
    known = {field.name: field for field in dataclasses.fields(SqueezeExcite)}
    for name, value in data.items():
        if name not in known:
            raise ValueError(f"squeeze-excite has no field {name!r}; it has {', '.join(known)}")
        _check_type("squeeze-excite", name, str(known[name].type), value)
    return SqueezeExcite(**data)


def _check_type(owner: str, name: str, expected: str, value: Any) -> None:
    allowed = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}.get(expected)
    if allowed is None:
        if value is not None and not isinstance(value, SqueezeExcite):
            raise ValueError(f"{owner}: {name} must be {expected}, got {value!r}")
    elif not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise ValueError(f"{owner}: {name} must be {expected}, got {value!r}")
