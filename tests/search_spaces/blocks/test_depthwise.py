"""The matrix form of small depthwise convolutions against torch's convolution."""

import pytest
import torch
import torch.nn.functional as F

from search_spaces.blocks.parts.depthwise import DepthwiseConv2d, depthwise


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (4, 4), (2, 4), (1, 16), (5, 3), (8, 8)])
def test_equals_torchs_convolution(size: tuple[int, int], kernel_size: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 1, kernel_size, kernel_size, generator=generator, dtype=torch.float64, requires_grad=True)
    outcomes = []
    for y in (depthwise(x, weight, stride, True), F.conv2d(x, weight, None, stride, kernel_size // 2, groups=8)):
        outcomes.append((y, *torch.autograd.grad((y * y.detach().sin()).sum(), (x, weight))))
    for found, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_evaluation_is_torchs_convolution_bit_for_bit() -> None:
    module = DepthwiseConv2d(8, 8, 5, padding=2, groups=8, bias=False).eval()
    x = torch.randn(2, 8, 2, 2)
    assert torch.equal(module(x), F.conv2d(x, module.weight, None, 1, 2, groups=8))
