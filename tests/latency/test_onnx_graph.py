"""The quick ONNX writer: same numbers as torch, same executed graph as an exported file."""

from __future__ import annotations

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from nas.latency.measuring.onnx_graph import UnknownOperator, _exported, _Recorder, to_onnx
from nas.networks.network import Network
from search_spaces.blocks import (
    Classifier,
    ConvBNAct,
    DepthwiseSeparable,
    FusedBottleneck,
    InvertedResidual,
    Layer,
    PooledConv,
    ResidualBlock,
    Skip,
    SqueezeExcite,
    UniversalBottleneck,
)
from search_spaces.costs import Shape
from search_spaces.families.fbnet import fbnet

LAYERS: list[tuple[Layer, Shape]] = [
    (ConvBNAct(16, 3, 2), Shape(3, 15, 15)),
    (ConvBNAct(24, 1, act="hard_swish"), Shape(16, 7, 7)),
    (ConvBNAct(16, (10, 4), 2, padding="tensorflow"), Shape(1, 49, 10)),
    (ConvBNAct(16, (1, 9), 2), Shape(3, 1, 50)),
    (InvertedResidual(16, 5, 1, 3.0, groups=2), Shape(16, 8, 8)),
    (InvertedResidual(16, 3, 2, 6.0, act="relu6", num_depthwise=2), Shape(16, 9, 9)),
    (InvertedResidual(16, 3, 1, 6.0, act="silu", se=SqueezeExcite(of="expanded")), Shape(16, 8, 8)),
    (InvertedResidual(16, 3, 1, 6.0, act="hard_swish", se=SqueezeExcite(gate="hard_sigmoid")), Shape(16, 8, 8)),
    (DepthwiseSeparable(16, 3, 1), Shape(16, 8, 8)),
    (DepthwiseSeparable(24, 5, 2, act="hard_swish", linear=False), Shape(16, 8, 8)),
    (ConvBNAct(16, 3, 2, padding="tensorflow"), Shape(3, 16, 16)),
    (InvertedResidual(24, 5, 2, padding="tensorflow"), Shape(16, 8, 8)),
    (Skip(24, 2), Shape(16, 8, 8)),
    (PooledConv(32, bias=True), Shape(16, 4, 4)),
    (Classifier(10), Shape(16, 4, 4)),
    (PooledConv(32, norm=True), Shape(16, 4, 4)),
    (ConvBNAct(16, 3, residual=True), Shape(16, 8, 8)),
    (FusedBottleneck(16, 3, 1, 4.0, "hard_swish", SqueezeExcite(gate="hard_sigmoid")), Shape(16, 8, 8)),
    (FusedBottleneck(24, 5, 2), Shape(16, 9, 9)),
    (UniversalBottleneck(16, 5, 3, layer_scale=0.5), Shape(16, 8, 8)),
    (UniversalBottleneck(24, 3, 0, 2, act="hard_swish"), Shape(16, 9, 9)),
    (UniversalBottleneck(16, 0, 0, se=SqueezeExcite()), Shape(16, 8, 8)),
    (ResidualBlock(16), Shape(16, 8, 8)),
    (ResidualBlock(24, 3, 2, projection="bias"), Shape(16, 9, 9)),
]


def session(model: onnx.ModelProto, path: str | None = None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if path:
        options.optimized_model_filepath = path
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def difference(module: nn.Module, model: onnx.ModelProto, x: torch.Tensor) -> float:
    """Largest difference of the two outputs, relative to the largest output."""
    with torch.no_grad():
        wanted = module(x.clone())
    got = torch.from_numpy(session(model).run(None, {"input": x.numpy()})[0])
    return float((got - wanted).abs().max() / wanted.abs().max())


def with_statistics(module: nn.Module) -> nn.Module:
    """`module` in eval mode with batch-norm statistics that are not the neutral ones."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            nn.init.uniform_(child.running_mean, -0.5, 0.5)
            nn.init.uniform_(child.running_var, 0.5, 2.0)
            nn.init.uniform_(child.bias, -0.5, 0.5)
    return module.eval()


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda v: v.label if isinstance(v, Layer) else "")
def test_layer_gives_torchs_numbers(layer: Layer, shape: Shape) -> None:
    torch.manual_seed(0)
    module = with_statistics(layer.build(shape))
    model = _Recorder(module, (2, *shape)).model()
    onnx.checker.check_model(model)
    assert difference(module, model, torch.randn(2, *shape)) < 1e-5


@pytest.mark.parametrize("width", [0.5, 1.0])
def test_network_gives_torchs_numbers(width: float) -> None:
    torch.manual_seed(0)
    space = fbnet(32, width=width)
    arch = space.decode([i % 9 for i in range(22)])
    module = with_statistics(Network(arch))
    model = _Recorder(module, (1, 3, 32, 32)).model()
    assert difference(module, model, torch.randn(1, 3, 32, 32)) < 1e-4


@pytest.mark.parametrize("index", [2, 4, 9, 12, 14, 17])
def test_runtime_executes_what_it_executes_for_an_exported_file(index: int, tmp_path) -> None:
    layer, shape = LAYERS[index]
    # with neutral batch norms the exporter drops the bias, without which some machines fuse less
    module = with_statistics(layer.build(shape))
    executed = []
    for model in (to_onnx(module, (1, *shape)), _exported(module, (1, *shape))):
        session(model, str(tmp_path / "optimised.onnx"))
        executed.append([node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node])
    assert executed[0] == executed[1]
    assert "BatchNormalization" not in executed[0]


def test_a_map_of_twice_the_size_is_recorded() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2), nn.ReLU())
    model = _Recorder(module.eval(), (1, 3, 6, 5)).model()
    assert [node.op_type for node in model.graph.node].count("Resize") == 1
    assert difference(module, model, torch.randn(1, 3, 6, 5)) < 1e-5
    for other in (nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(size=(9, 7))):
        with pytest.raises(UnknownOperator, match="interpolate that is not nearest by a whole factor"):
            _Recorder(other, (1, 3, 6, 5))


class Cumulative(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(1)


class SharedInPlace(nn.Module):
    """Changes a tensor through one view and reads it through another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + 1
        whole = y.reshape(-1, y.shape[1], 16)
        y.relu_()
        return whole + 0


@pytest.mark.parametrize("module", [Cumulative(), SharedInPlace()], ids=["operator", "aliasing"])
def test_what_cannot_be_recorded_is_exported(module: nn.Module) -> None:
    with pytest.raises(UnknownOperator):
        _Recorder(module.eval(), (1, 4, 4, 4))
    assert difference(module, to_onnx(module, (1, 4, 4, 4)), torch.randn(1, 4, 4, 4)) < 1e-6
