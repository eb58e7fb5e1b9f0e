"""Squeeze-and-excitation: a part of blocks, not a layer of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces.blocks.activations import ACTIVATIONS, GATES
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.costs import Conv, make_divisible
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_RATIO = 1000


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation: pool, reduce, activate, expand, gate (arXiv 1709.01507).

    `ratio` is relative to the block's input channels (`of="input"`, MobileNetV3's and FBNetV3's way) or to the expanded
    channels (`of="expanded"`, ReXNet's and OFA's way). The squeezed width is rounded by `make_divisible(divisor,
    round_limit)`, or taken as `int` where `divisor` is 1. `norm` puts a batch norm behind the reduction (ReXNet).
    Raises `ValueError` for a ratio, divisor, activation or gate that is none, naming what can be.
    """

    ratio: float = 0.25
    of: str = "input"
    divisor: int = 8
    round_limit: float = 0.9
    act: str = "relu"
    gate: str = "sigmoid"
    norm: bool = False

    def __post_init__(self) -> None:
        if self.of not in ("input", "expanded"):
            raise ValueError(f"squeeze-excite ratio is relative to 'input' or 'expanded' channels, got of={self.of!r}")
        if not 0 < self.ratio <= MOST_RATIO:
            raise ValueError(
                f"squeeze-excite ratio must be > 0 and at most {MOST_RATIO}, got {self.ratio}; "
                "leave `se` unset for no squeeze"
            )
        if isinstance(self.divisor, bool) or not isinstance(self.divisor, int) or self.divisor < 1:
            raise ValueError(f"squeeze-excite divisor must be a whole number >= 1, got {self.divisor!r}")
        if self.act not in ACTIVATIONS:
            raise ValueError(f"squeeze-excite: unknown activation {self.act!r}; one of {', '.join(ACTIVATIONS)}")
        if self.gate not in GATES:
            raise ValueError(f"squeeze-excite: unknown gate {self.gate!r}; one of {', '.join(GATES)}")

    def squeezed(self, in_channels: int, expanded: int) -> int:
        """Channels behind the reduction."""
        value = (in_channels if self.of == "input" else expanded) * self.ratio
        return max(int(value), 1) if self.divisor == 1 else make_divisible(value, self.divisor, self.round_limit)

    def convs(self, in_channels: int, expanded: int) -> Iterator[Conv]:
        squeezed = self.squeezed(in_channels, expanded)
        yield Conv(expanded, squeezed, bias=True, norm=self.norm)
        yield Conv(squeezed, expanded, bias=True, norm=False)

    def record(self, tape: Tape, x: Value, in_channels: int) -> Value:
        """The operators for `x` in a block of `in_channels`; gives what is gated. See `Layer.record`."""
        expanded = x.shape.channels
        gate = tape.conv(tape.pool(x), self.squeezed(in_channels, expanded), act=self.act)
        return tape.gated(x, tape.act(tape.conv(gate, expanded)))

    def build(self, in_channels: int, expanded: int) -> nn.Module:
        """A fresh module for a block of `in_channels` and `expanded` channels."""
        return squeeze_excite_module()(self, in_channels, expanded)

    @staticmethod
    def from_card(value: Any) -> Any:
        """The fields that a yaml card means by a ratio; None for 0 and null. Mappings are the fields themselves."""
        if value is None or isinstance(value, Mapping):
            return value
        return {"ratio": float(value)} if value else None


@torch_class
def squeeze_excite_module() -> type[nn.Module]:
    from timm.layers import create_act_layer
    from torch import nn

    class SqueezeExciteModule(nn.Module):
        def __init__(self, se: SqueezeExcite, in_channels: int, expanded: int) -> None:
            super().__init__()
            squeezed = se.squeezed(in_channels, expanded)
            self.conv_reduce = nn.Conv2d(expanded, squeezed, 1)
            self.bn = nn.BatchNorm2d(squeezed) if se.norm else nn.Identity()
            self.act1 = create_act_layer(ACTIVATIONS[se.act], inplace=True)
            self.conv_expand = nn.Conv2d(squeezed, expanded, 1)
            self.gate = create_act_layer(se.gate)

        def forward(self, x: Tensor) -> Tensor:
            gate = x.mean((2, 3), keepdim=True)
            return x * self.gate(self.conv_expand(self.act1(self.bn(self.conv_reduce(gate)))))

    return SqueezeExciteModule


__getattr__ = attributes(__name__, SqueezeExciteModule=squeeze_excite_module)
