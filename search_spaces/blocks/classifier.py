"""The last layer of every network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from search_spaces.blocks.layer import InnerWidths, Layer, Role, register
from search_spaces.blocks.parts import checks
from search_spaces.blocks.parts.lazy import attributes, torch_class
from search_spaces.costs import Conv, Shape
from search_spaces.memory.tape import Tape, Value

if TYPE_CHECKING:
    from torch import Tensor, nn


@register
@dataclass(frozen=True, slots=True)
class Classifier(Layer):
    """Global average pool and a linear layer with bias: the last layer of every network."""

    kind: ClassVar[str] = "classifier"
    role: ClassVar[Role] = "classifier"
    elastic: ClassVar[tuple[str, ...] | None] = ()
    num_classes: int

    def __post_init__(self) -> None:
        checks.positive(self, "num_classes")

    def convs(self, shape: Shape) -> Iterator[Conv]:
        yield Conv(shape.channels, self.num_classes, bias=True, norm=False)

    def record(self, tape: Tape, x: Value) -> Value:
        return tape.conv(tape.pool(x), self.num_classes)

    def out_shape(self, shape: Shape) -> Shape:
        return Shape(self.num_classes, 1, 1)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        return InnerWidths()

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        return classifier_module()(self, shape)


@torch_class
def classifier_module() -> type[nn.Module]:
    import torch.nn.functional as F
    from torch import nn

    from search_spaces.blocks.parts import slices

    class ClassifierModule(nn.Module):
        def __init__(self, layer: Classifier, shape: Shape) -> None:
            super().__init__()
            self.linear = nn.Linear(shape.channels, layer.num_classes)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.mean((2, 3)))

        def sliced(self, x: Tensor, layer: Classifier) -> Tensor:
            """The layer on the first columns of its weights."""
            weight = slices.cut(self.linear.weight, (layer.num_classes, x.shape[1]))
            return F.linear(x.mean((2, 3)), weight, self.linear.bias)

    return ClassifierModule


__getattr__ = attributes(__name__, ClassifierModule=classifier_module)
