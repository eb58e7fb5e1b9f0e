"""MLPerf Tiny's networks: published counts, and torch modules written from the reference without our blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from search_spaces import zoo
from search_spaces.blocks import ConvBNAct, layer_from_dict
from search_spaces.costs import Shape
from search_spaces.families.mlperf_tiny import FAMILY, keras_params
from search_spaces.from_card import from_card

# parameters with batch norm, multiply-adds in millions
COUNTS = {
    "ds_cnn_kws": (24_908, "2.66"),
    "resnet8": (78_666, "12.50"),
    "resnet8_40": (482_730, "76.47"),
    "mobilenetv1_025_96": (221_794, "7.49"),
}
INPUTS = {
    "ds_cnn_kws": (1, 49, 10),
    "resnet8": (3, 32, 32),
    "resnet8_40": (3, 32, 32),
    "mobilenetv1_025_96": (3, 96, 96),
}


class Same(nn.Module):
    """Convolution under TensorFlow's SAME, batch norm, ReLU or not."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        margins: list[int] = []
        for side, kernel, stride in reversed([*zip(x.shape[2:], self.conv.kernel_size, self.conv.stride, strict=True)]):
            needed = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            margins += [needed // 2, needed - needed // 2]
        x = self.norm(self.conv(F.pad(x, margins)))
        return x.relu() if self.relu else x


def separable(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [Same(inputs, inputs, (3, 3), stride, inputs), Same(inputs, outputs, (1, 1))]


def reference_ds_cnn() -> nn.Module:
    blocks = [module for _ in range(4) for module in separable(64, 64)]
    return nn.Sequential(Same(1, 64, (10, 4), 2), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))


def reference_mobilenet() -> nn.Module:
    channels = [8, 16, 32, 32, 64, 64, *[128] * 6, 256, 256]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    blocks = [m for i, stride in enumerate(strides) for m in separable(channels[i], channels[i + 1], stride)]
    return nn.Sequential(Same(3, 8, (3, 3), 2), *blocks, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2))


class Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = Same(inputs, outputs, (3, 3), stride)
        self.second = Same(outputs, outputs, (3, 3), relu=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (self.shortcut(x) + self.second(self.first(x))).relu()


def reference_resnet(filters: int) -> nn.Module:
    blocks = [Basic(filters, filters, 1), Basic(filters, 2 * filters, 2), Basic(2 * filters, 4 * filters, 2)]
    ends = [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(4 * filters, 10)]
    return nn.Sequential(Same(3, filters, (3, 3)), *blocks, *ends)


REFERENCES = {
    "ds_cnn_kws": reference_ds_cnn,
    "resnet8": lambda: reference_resnet(16),
    "resnet8_40": lambda: reference_resnet(40),
    "mobilenetv1_025_96": reference_mobilenet,
}


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """Weights and statistics in the order of definition, which both sides share."""
    yield from (value for key, value in module.state_dict().items() if not key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("name", FAMILY.names)
def test_counts_are_the_references(name: str) -> None:
    arch = zoo.published(name)
    params, macs = COUNTS[name]
    assert keras_params(arch) == params and f"{arch.macs / 1e6:.2f}" == macs
    assert arch.input_shape == INPUTS[name]
    reference = REFERENCES[name]()
    biases = sum(m.out_channels for m in reference.modules() if isinstance(m, nn.Conv2d) and m.bias is None)
    assert params == sum(tensor.numel() for tensor in tensors(reference)) + biases
    assert arch.params == sum(p.numel() for p in reference.parameters())


@pytest.mark.parametrize("name", FAMILY.names)
def test_networks_compute_what_the_reference_computes(name: str) -> None:
    network, reference = nas.create_model(name), REFERENCES[name]()
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for theirs, mine in zip(tensors(reference), tensors(network), strict=True):
            assert theirs.shape == mine.shape
            drawn = torch.rand(theirs.shape, generator=stream) + 0.5 if theirs.ndim == 1 else None
            theirs.copy_(
                torch.randn(theirs.shape, generator=stream) / theirs[0].numel() ** 0.5 if drawn is None else drawn
            )
            mine.copy_(theirs)
        images = torch.randn(3, *INPUTS[name], generator=stream)
        torch.testing.assert_close(network.eval()(images), reference.eval()(images), rtol=1e-4, atol=1e-4)


def test_other_classes_and_sizes() -> None:
    arch = zoo.published("ds_cnn_kws", 35, [98, 40], 2)
    assert arch.num_classes == 35 and arch.input_shape == (2, 98, 40)
    assert [shape[1:] for _, shape in arch.walk()][1] == (49, 20)
    assert zoo.published("resnet8", in_channels=1).num_classes == 10


def test_kernels_that_are_not_square() -> None:
    stem = zoo.published("ds_cnn_kws").stages[0][0]
    assert stem.label == "conv10x4_tf" and stem.to_dict()["kernel_size"] == (10, 4)
    assert ConvBNAct(8, (3, 3)) == ConvBNAct(8, 3) and ConvBNAct(8, (1, 9)).label == "conv1x9"
    (conv,) = stem.convs(Shape(1, 49, 10))
    assert (conv.taps, conv.weights, conv.macs) == (40, 2560, 2560 * 25 * 5)
    for kernel, message in (
        ((10, 4), r"kernel_size must be odd \('same' padding\), got \(10, 4\); even kernels need padding: tensorflow"),
        (4, "kernel_size must be odd"),
        ((3, 0), r"kernel_size must be a whole number >= 1 or \[height, width\], got \(3, 0\)"),
        ((3, 3, 3), "kernel_size must be a whole number"),
        (True, "kernel_size must be a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            ConvBNAct(8, kernel)
    with pytest.raises(ValueError, match="kernel_size must be a whole number"):
        layer_from_dict({"kind": "inverted_residual", "out_channels": 8, "kernel_size": [3, 5]})


def test_a_card_may_have_them() -> None:
    stage = {"channels": 8, "depth": 1, "blocks": [{"kind": "conv_bn_act", "kernel_size": [[3, 5], 3]}]}
    stem = {"out_channels": 8, "kernel_size": [10, 4], "stride": 2, "padding": "tensorflow"}
    space = from_card([stage], stem, {"out_channels": 16}, resolution=[49, 10], in_channels=1, num_classes=12)
    assert [layer.label for layer, _ in space.table_entries()] == [
        "conv10x4_tf",
        "conv3x5",
        "conv3x3",
        "conv1x1",
        "classifier",
    ]


def test_they_are_exported(tmp_path: Path) -> None:
    output = str(tmp_path / "net.onnx")
    report = nas.export_model("ds_cnn_kws", checkpoint="random", output=output, measure=False)
    assert report["input"] == ["batch", 1, 49, 10]
