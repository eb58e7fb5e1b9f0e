"""The modules that layers build. Parameter names are timm's, so weights move both ways by plain `load_state_dict`."""

from __future__ import annotations

import torch
from timm.layers import BatchNormAct2d, ConvNormAct, DropPath, SEModule, create_act_layer, get_act_layer
from torch import Tensor, nn

from search_spaces import layers
from search_spaces.costs import Shape
from search_spaces.depthwise import DepthwiseConv2d


def conv2d(in_channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Convolution without bias and with "same" padding for an odd kernel."""
    kind = DepthwiseConv2d if groups == in_channels == out_channels else nn.Conv2d
    return kind(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False)


def norm_act(channels: int, act: str) -> nn.Module:
    """Batch norm followed by the activation named `act` ('' for none)."""
    if not act:
        return BatchNormAct2d(channels, apply_act=False)
    return BatchNormAct2d(channels, act_layer=get_act_layer(act), inplace=True)


class ConvBNAct(nn.Module):
    def __init__(self, layer: layers.ConvBNAct, shape: Shape) -> None:
        super().__init__()
        self.conv = conv2d(shape.channels, layer.out_channels, layer.kernel_size, layer.stride, layer.groups)
        self.bn1 = norm_act(layer.out_channels, layer.act)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x))


class SqueezeExcite(nn.Module):
    def __init__(self, se: layers.SqueezeExcite, in_channels: int, expanded: int) -> None:
        super().__init__()
        squeezed = se.squeezed(in_channels, expanded)
        self.conv_reduce = nn.Conv2d(expanded, squeezed, 1)
        self.bn = nn.BatchNorm2d(squeezed) if se.norm else nn.Identity()
        self.act1 = create_act_layer(se.act, inplace=True)
        self.conv_expand = nn.Conv2d(squeezed, expanded, 1)
        self.gate = create_act_layer(se.gate)

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act1(self.bn(self.conv_reduce(gate)))))


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of `groups` groups (ShuffleNet, arXiv 1707.01083). `x`: (B, C, H, W)."""
    b, c, h, w = x.shape
    return x.reshape(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


class InvertedResidual(nn.Module):
    __constants__ = ("has_expand",)  # TorchScript leaves out the branch for modules that are not there

    def __init__(self, layer: layers.InvertedResidual, shape: Shape, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        expanded = layer.expanded(shape.channels)
        self.groups = layer.groups
        self.has_expand = layer.has_expand(shape.channels)
        self.has_residual = layer.has_residual(shape)
        if self.has_expand:
            self.conv_pw = conv2d(shape.channels, expanded, groups=layer.groups)
            self.bn1 = norm_act(expanded, layer.act)
        self.conv_dw = conv2d(expanded, expanded, layer.kernel_size, layer.stride, groups=expanded)
        self.bn2 = norm_act(expanded, layer.act)
        self.more_depthwise = nn.ModuleList(
            nn.Sequential(conv2d(expanded, expanded, layer.kernel_size, groups=expanded), norm_act(expanded, layer.act))
            for _ in range(layer.num_depthwise - 1)
        )
        self.se = SqueezeExcite(layer.se, shape.channels, expanded) if layer.se else nn.Identity()
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


class DepthwiseSeparable(nn.Module):
    def __init__(self, layer: layers.DepthwiseSeparable, shape: Shape, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        channels = shape.channels
        self.has_residual = layer.has_residual(shape)
        self.conv_dw = conv2d(channels, channels, layer.kernel_size, layer.stride, groups=channels)
        self.bn1 = norm_act(channels, layer.act)
        self.se = SqueezeExcite(layer.se, channels, channels) if layer.se else nn.Identity()
        self.conv_pw = conv2d(channels, layer.out_channels)
        self.bn2 = norm_act(layer.out_channels, "")
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.bn1(self.conv_dw(x))
        x = self.bn2(self.conv_pw(self.se(x)))
        return self.drop_path(x) + shortcut if self.has_residual else x


def conv_norm_act(layer: layers.ConvBNAct, shape: Shape) -> nn.Module:
    """`layer` with ReXNet's parameter names: `conv`, `bn`."""
    return ConvNormAct(
        shape.channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        groups=layer.groups,
        apply_act=bool(layer.act),
        act_layer=layer.act or None,
    )


class LinearBottleneck(nn.Module):
    def __init__(self, layer: layers.LinearBottleneck, shape: Shape, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        channels, expanded = shape.channels, layer.expanded(shape.channels)
        self.in_channels = channels
        self.has_residual = layer.has_residual(shape)
        self.widens = channels < layer.out_channels
        self.conv_exp = ConvNormAct(channels, expanded, act_layer=layer.act) if layer.has_expand else nn.Identity()
        self.conv_dw = ConvNormAct(
            expanded, expanded, layer.kernel_size, stride=layer.stride, groups=expanded, apply_act=False
        )
        se = layer.se
        self.se = (
            SEModule(
                expanded,
                rd_channels=se.squeezed(channels, expanded),
                act_layer=get_act_layer(se.act),
                gate_layer=se.gate,
                norm_layer=nn.BatchNorm2d if se.norm else None,
            )
            if se
            else nn.Identity()
        )
        self.act_dw = create_act_layer(layer.dw_act) if layer.dw_act else nn.Identity()
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


def skip(layer: layers.Skip, shape: Shape) -> nn.Module:
    """Identity, or a 1x1 convolution where the shape changes."""
    if layer.is_identity(shape):
        return nn.Identity()
    return ConvBNAct(layers.ConvBNAct(layer.out_channels, stride=layer.stride, act=layer.act), shape)


class PooledConv(nn.Module):
    def __init__(self, layer: layers.PooledConv, shape: Shape) -> None:
        super().__init__()
        self.conv = nn.Conv2d(shape.channels, layer.out_channels, 1, bias=layer.bias)
        self.act = create_act_layer(layer.act, inplace=True) if layer.act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x.mean((2, 3), keepdim=True)))


class Classifier(nn.Module):
    def __init__(self, layer: layers.Classifier, shape: Shape) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.channels, layer.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


def init_weights(module: nn.Module) -> None:
    """MobileNet initialisation, in place: convolutions N(0, sqrt(2 / fan_out)), linear U(+-1 / sqrt(max(in, out))).

    fan_out is counted per group. Convolutions as timm's EfficientNet family has them.

    Departure: timm draws linear weights from U(+-1 / sqrt(out)), made for 1,000 classes: +-0.316 for ten, times 1,984
    features. Three random FBNets on the digits (16 pixels, recipe quick) reach 92.9% with ours and 88.3% with timm's
    after three epochs, 99.0% and 98.0% after ten.
    """
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            fan_out = child.kernel_size[0] * child.kernel_size[1] * child.out_channels // child.groups
            nn.init.normal_(child.weight, 0.0, (2.0 / fan_out) ** 0.5)
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.BatchNorm2d):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
        elif isinstance(child, nn.Linear):
            bound = 1.0 / max(child.out_features, child.in_features) ** 0.5
            with torch.no_grad():
                child.weight.uniform_(-bound, bound)
                child.bias.zero_()


def zero_init_residuals(module: nn.Module) -> None:
    """Set to zero the scale of the last batch norm of every residual block in `module`, in place.

    Every such block starts as the identity, so a deep net of narrow blocks learns from the first steps on (Goyal et
    al., arXiv 1706.02677, section 5.1).
    """
    for child in module.modules():
        if getattr(child, "has_residual", False):
            norms = [m for m in child.modules() if isinstance(m, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)
