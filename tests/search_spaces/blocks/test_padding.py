"""Where strided convolutions have their zeros."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces.blocks import InvertedResidual
from search_spaces.costs import Shape

SHAPE = Shape(16, 7, 7)


@pytest.mark.parametrize("side", [7, 8, 53, 64])
def test_tensorflow_padding_of_a_strided_convolution(side: int) -> None:
    """TensorFlow's rule: of (out - 1) * stride + kernel - side zeros, the smaller half goes before the map."""
    shape = Shape(4, side, side)
    for kernel in (3, 5):
        layer = InvertedResidual(8, kernel, 2, padding="tensorflow")
        module = layer.build(shape).eval().conv_dw
        x = torch.randn(2, module.in_channels, side, side, generator=torch.Generator().manual_seed(0))
        out = layer.out_shape(shape).height
        zeros = max((out - 1) * 2 + kernel - side, 0)
        before, behind = zeros // 2, zeros - zeros // 2
        padded = nn.functional.pad(x, (before, behind, before, behind))
        expected = nn.functional.conv2d(padded, module.weight, stride=2, groups=module.in_channels)
        with torch.no_grad():
            torch.testing.assert_close(module(x), expected)
            symmetric = InvertedResidual(8, kernel, 2).build(shape).conv_dw
            symmetric.load_state_dict(module.state_dict())
            assert torch.allclose(symmetric(x), expected, atol=1e-6) == (side % 2 == 1)


def test_layers_with_tensorflow_padding_run_alone_in_supernets() -> None:
    """Superkernels and mixtures that run as one slice weights under symmetric padding."""
    plain, layer = InvertedResidual(16, 3, 2), InvertedResidual(16, 3, 2, padding="tensorflow")
    assert plain.nests and plain.batch_family(SHAPE) is not None
    assert not layer.nests and layer.batch_family(SHAPE) is None
    assert plain.label != layer.label and plain.table_row(SHAPE) != layer.table_row(SHAPE)
