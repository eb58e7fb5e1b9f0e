"""What one convolution costs: the only place where parameters, MACs and activations are counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Shape(NamedTuple):
    """Shape of a feature map for one image: channels, height and width in pixels."""

    channels: int
    height: int
    width: int

    def strided(self, stride: int) -> tuple[int, int]:
        """Height and width behind a `stride` convolution with "same" padding of an odd kernel: ceil(side / stride)."""
        return -(-self.height // stride), -(-self.width // stride)


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution (a linear layer is a 1x1 convolution on a 1x1 map) with its bias and batch norm.

    `macs` counts multiply-adds of convolutions and linear layers; papers print this figure as FLOPs. Batch norm,
    activations, pooling and additions are not counted. `activations` counts output elements, as timm's cards do.
    `kernel_size`: of a square kernel its side, else height and width.
    """

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, int] = 1
    groups: int = 1
    bias: bool = False
    norm: bool = True
    height: int = 1
    width: int = 1

    @property
    def taps(self) -> int:
        """Weights of the kernel between one input and one output channel."""
        kernel = self.kernel_size
        return kernel * kernel if isinstance(kernel, int) else kernel[0] * kernel[1]

    @property
    def weights(self) -> int:
        return self.out_channels * (self.in_channels // self.groups) * self.taps

    @property
    def params(self) -> int:
        return self.weights + self.out_channels * (int(self.bias) + 2 * int(self.norm))

    @property
    def biases(self) -> int:
        """Biases once the norm is folded into the weights."""
        return self.out_channels * int(self.bias or self.norm)

    @property
    def macs(self) -> int:
        return self.weights * self.height * self.width

    @property
    def activations(self) -> int:
        return self.out_channels * self.height * self.width


class Cost(NamedTuple):
    """Sums over convolutions: trainable parameters, multiply-adds per image, output elements per image."""

    params: int
    macs: int
    activations: int


class Stored(NamedTuple):
    """What a device keeps of a layer once norms and learned scales are folded: numbers of weights and of biases."""

    weights: int
    biases: int


Count = Literal["params", "macs", "activations"]


def total(convs: Iterable[Conv]) -> Cost:
    """Sum of `params`, `macs` and `activations` over `convs`."""
    params = macs = activations = 0
    for conv in convs:
        params += conv.params
        macs += conv.macs
        activations += conv.activations
    return Cost(params, macs, activations)


def make_divisible(value: float, divisor: int = 8, round_limit: float = 0.9) -> int:
    """Nearest multiple of `divisor` (at least `divisor`), one step up where rounding fell below `round_limit * value`.

    The rule of MobileNetV2's reference code; FBNetV3 uses `round_limit=0.95`.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < round_limit * value else rounded


def round_up(value: float, divisor: int = 8) -> int:
    """Smallest multiple of `divisor` that is not below `value` (to 1e-9)."""
    return max(divisor, -int(-(value - 1e-9) // divisor) * divisor)
