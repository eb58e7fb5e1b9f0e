"""MobileNetV4's, EfficientNet-EdgeTPU's and ResNet's blocks: timm's modules, weight for weight, and what they share."""

from __future__ import annotations

import random
from functools import partial

import pytest
import torch
from timm.layers import LayerScale2d
from timm.models._efficientnet_blocks import ConvBnAct, EdgeResidual, SqueezeExcite, UniversalInvertedResidual
from timm.models.resnet import BasicBlock, downsample_conv
from torch import nn

from nas.networks.network import build_network
from search_spaces.arch import Arch
from search_spaces.blocks import (
    Classifier,
    ConvBNAct,
    FusedBottleneck,
    InvertedResidual,
    Layer,
    PooledConv,
    ResidualBlock,
    UniversalBottleneck,
)
from search_spaces.blocks import SqueezeExcite as Squeeze
from search_spaces.blocks.parts.initialisation import zero_init_residuals
from search_spaces.costs import Shape


def check(ours: nn.Module, theirs: nn.Module, shape: Shape) -> None:
    """Weights move both ways by plain `load_state_dict`; outputs, and gradients of the input, are equal."""
    for name, tensor in theirs.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            tensor.uniform_(0.5, 1.5) if tensor.ndim == 1 else tensor.normal_(0, 0.2)
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    for training in (False, True):
        x = torch.randn(2, *shape, requires_grad=True)
        mine, other = ours.train(training)(x), theirs.train(training)(x)
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)
        target = torch.randn(mine.shape)
        torch.testing.assert_close(
            *(torch.autograd.grad((out * target).sum(), x)[0] for out in (mine, other)), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("seed", range(12))
def test_universal_bottleneck_is_timms(seed: int) -> None:
    torch.manual_seed(seed)
    drawn = random.Random(seed)
    shape = Shape(drawn.choice((8, 20)), 9, 9)
    start, middle = drawn.choice((0, 3, 5)), drawn.choice((0, 3, 5))
    stride = drawn.choice((1, 2)) if start or middle else 1
    out, ratio, scale = drawn.choice((8, 20)), drawn.choice((1, 2.5, 4)), drawn.choice((None, 1e-5))
    layer = UniversalBottleneck(out, start, middle, stride, ratio, layer_scale=scale)
    theirs = UniversalInvertedResidual(
        shape.channels, out, start, middle, stride=stride, exp_ratio=ratio, layer_scale_init_value=scale
    )
    check(layer.build(shape), theirs, shape)


@pytest.mark.parametrize(("stride", "out", "se"), [(1, 16, None), (2, 16, 0.5), (1, 24, 0.5), (1, 16, 0.25)])
def test_fused_bottleneck_is_timms(stride: int, out: int, se: float | None) -> None:
    torch.manual_seed(0)
    shape = Shape(16, 9, 9)
    layer = FusedBottleneck(out, 3, stride, 4.0, se=Squeeze(se, divisor=1) if se else None)
    squeeze = partial(SqueezeExcite, rd_ratio=se / 4) if se else None  # of the expanded channels
    theirs = EdgeResidual(16, out, 3, stride, exp_ratio=4.0, se_layer=squeeze)
    check(layer.build(shape), theirs, shape)


@pytest.mark.parametrize(("stride", "out"), [(1, 16), (2, 16), (1, 24)])
def test_residual_block_is_timms(stride: int, out: int) -> None:
    torch.manual_seed(0)
    shape = Shape(16, 8, 8)
    down = None if (stride, out) == (1, 16) else downsample_conv(16, out, 1, stride)
    check(ResidualBlock(out, 3, stride).build(shape), BasicBlock(16, out, stride, down), shape)


def test_convolution_with_a_shortcut_is_timms() -> None:
    shape = Shape(16, 8, 8)
    for out, stride in ((16, 1), (24, 1), (16, 2)):
        theirs = ConvBnAct(16, out, 3, stride, skip=True)
        check(ConvBNAct(out, 3, stride, residual=True).build(shape), theirs, shape)


def test_the_resnet_of_mlperf_tiny_costs_what_its_authors_count() -> None:
    """ResNet8 (CIFAR-10): 78,666 parameters in Keras, which counts statistics, and biases that norms take away."""
    arch = Arch(
        32,
        (
            (ConvBNAct(16, 3),),
            (ResidualBlock(16),),
            (ResidualBlock(32, 3, 2, projection="bias"),),
            (ResidualBlock(64, 3, 2, projection="bias"),),
            (Classifier(10),),
        ),
    )
    normed = 3 * 16 + 2 * 32 + 2 * 64  # channels with a batch norm: two statistics and a bias each
    assert arch.params + 3 * normed == 78_666
    assert arch.macs == 12_501_632
    network = build_network(arch)
    assert sum(p.numel() for p in network.parameters()) == arch.params


SHAPE = Shape(16, 8, 8)
SE = Squeeze(0.25)


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        (UniversalBottleneck(16), InvertedResidual(16, 3, 1, 4.0)),
        (UniversalBottleneck(24, 0, 5, 2, 2, "silu", SE), InvertedResidual(24, 5, 2, 2.0, act="silu", se=SE)),
        (UniversalBottleneck(16, 0, 0), FusedBottleneck(16, 1)),
        (FusedBottleneck(24), FusedBottleneck(24, residual=False)),
        (UniversalBottleneck(16, 3, 3, layer_scale=1e-5), UniversalBottleneck(16, 3, 3, layer_scale=0.1)),
        (UniversalBottleneck(24, 3, 3), UniversalBottleneck(24, 3, 3, residual=False)),
        (ResidualBlock(16), ResidualBlock(16, projection="bias")),
        (ConvBNAct(24), ConvBNAct(24, residual=True)),
    ],
    ids=lambda layer: layer.label,
)
def test_layers_that_execute_the_same_share_a_row(layer: Layer, same: Layer) -> None:
    assert layer.table_row(SHAPE) == same.table_row(SHAPE) is not None


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (UniversalBottleneck(16, 3, 3), UniversalBottleneck(16)),
        (UniversalBottleneck(16, layer_scale=0.1), UniversalBottleneck(16)),
        (UniversalBottleneck(16, 3, 0), UniversalBottleneck(16, 0, 3)),
        (ResidualBlock(24), ResidualBlock(24, projection="bias")),
        (ConvBNAct(16), ConvBNAct(16, residual=True)),
        (PooledConv(16), PooledConv(16, norm=True)),
    ],
    ids=lambda layer: layer.label,
)
def test_layers_that_execute_otherwise_have_rows_of_their_own(layer: Layer, other: Layer) -> None:
    assert layer.table_row(SHAPE) != other.table_row(SHAPE)


def test_what_came_later_changes_no_file_of_before() -> None:
    before = {"kind": "conv_bn_act", "out_channels": 8, "kernel_size": 1, "stride": 1, "groups": 1, "act": "relu"}
    assert ConvBNAct(8).to_dict() == before
    assert ConvBNAct(8, residual=True).to_dict() == {**before, "residual": True}
    assert PooledConv(8).to_dict() == {"kind": "pooled_conv", "out_channels": 8, "act": "hard_swish", "bias": False}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"middle_kernel": 0, "stride": 2}, "1x1 convolutions alone have stride 1, got 2; give it a middle_kernel"),
        ({"start_kernel": 4}, "start_kernel must be odd"),
        ({"middle_kernel": -1}, "middle_kernel must be a whole number >= 1, got -1"),
        ({"middle_kernel": False}, "middle_kernel must be a whole number >= 1, got False"),
        ({"layer_scale": 0}, "layer_scale must be > 0"),
    ],
)
def test_universal_bottlenecks_that_cannot_be(fields: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        UniversalBottleneck(16, **fields)


def test_other_layers_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="projection must be 'norm' or 'bias', got 'pad'"):
        ResidualBlock(16, projection="pad")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a batch norm takes a bias away; set bias or norm, not both"):
        PooledConv(16, bias=True, norm=True)
    stem = ConvBNAct(3, 3, residual=True)
    with pytest.raises(ValueError, match="stem and head of a network have no shortcut; drop their residual"):
        build_network(Arch(8, ((stem,), (Classifier(2),))))


def test_layer_scale_starts_at_its_value_and_learns() -> None:
    module = UniversalBottleneck(16, layer_scale=0.25).build(SHAPE)
    (scale,) = (child for child in module.modules() if isinstance(child, LayerScale2d))
    assert set(scale.gamma.tolist()) == {0.25} and scale.gamma.requires_grad


def test_blocks_that_start_as_the_identity_can_learn() -> None:
    """A norm before the last activation keeps its scale: behind a ReLU of zeros nothing would ever move."""
    for layer in (UniversalBottleneck(16), FusedBottleneck(16), ResidualBlock(16), ConvBNAct(16, residual=True)):
        module = layer.build(SHAPE)
        zero_init_residuals(module)
        x = torch.randn(4, *SHAPE).relu()
        out = module(x)
        assert torch.equal(out, x) == (layer.kind != "conv_bn_act")
        out.square().sum().backward()
        *_, last = (child for child in module.modules() if isinstance(child, nn.BatchNorm2d))
        assert last.weight.grad is not None and last.weight.grad.abs().sum() > 0
