"""Squeeze-and-excitation as data; it is a part of blocks, not a layer of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces.costs import Conv, make_divisible

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu")
GATES = ("sigmoid", "hard_sigmoid")
MOST_RATIO = 1000


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation: pool, reduce, activate, expand, gate (arXiv 1709.01507).

    `ratio` is relative to the block's input channels (`of="input"`, MobileNetV3's and FBNetV3's way) or to the expanded
    channels (`of="expanded"`, ReXNet's and OFA's way). The squeezed width is rounded by `make_divisible(divisor,
    round_limit)`, or taken as `int` where `divisor` is 1. `norm` puts a batch norm behind the reduction (ReXNet).
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
