"""`Layer`: what the framework asks of every block kind, with the answers of a kind that takes no part in anything.

A layer is frozen data that prices itself and builds its module. It holds what a choice decides and never its input
channels: those come from what precedes it, so that neighbours cannot disagree. `convs(shape)` lists its convolutions
for an input shape; parameters, MACs and activations are sums over that list, and `out_shape` is what the next sees.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeVar

from search_spaces.blocks.squeeze_excite import SqueezeExcite
from search_spaces.costs import Conv, Cost, Shape, Stored, total
from search_spaces.memory.tape import InPlace, Tape, Value, elements, peak
from search_spaces.plain_data import fields

if TYPE_CHECKING:
    from torch import nn

Role = Literal["block", "convolution", "pooled_convolution", "classifier"]
Layout = Literal["stages", "flat"]


def later(default: Any) -> Any:
    """A field that a kind got after files with it were written: at its `default` it is left out of them.

    So that archs, rows of latency tables and studies keep their identity.
    """
    return dataclasses.field(default=default, metadata={"later": True})


class InnerWidths(NamedTuple):
    """Channels inside a layer (0: there are none).

    `inner`: before its last convolution; `squeezed`: behind the squeeze; `start`: of a depthwise convolution that comes
    first. `expands`: whether there is a convolution that other widths of the layer may lack, to widen to the inner
    channels or to project the shortcut.
    """

    inner: int = 0
    squeezed: int = 0
    expands: bool = False
    start: int = 0


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of every block kind. Subclasses are data plus `convs`, `out_shape`, `build` and a short `label`.

    `kind`: its name in files. `role`: what it can be at the ends of a network: `convolution` (stem and head; its
    module has `conv` and `bn1`), `pooled_convolution` (head behind the pooling; `conv` and `act`), `classifier`, or
    nothing but a `block`. `layouts`: the networks it can be a block of, by the names of their weights: `stages`
    (timm's EfficientNets), `flat` (timm's ReXNets). `in_cards`: whether yaml spaces may list it as a block.
    `leaves_out`: whether choosing it means to leave the block out. `elastic`: the fields in which slices of one module
    may differ, beside their input channels (None: no slices of it are layers); its module then runs them: `sliced(x,
    layer)`. `widths`: the fields that are numbers of channels,
    between which times can be interpolated; what is no width is part of the form of a block.
    """

    kind: ClassVar[str] = ""
    role: ClassVar[Role] = "block"
    layouts: ClassVar[tuple[Layout, ...]] = ("stages",)
    in_cards: ClassVar[bool] = False
    leaves_out: ClassVar[bool] = False
    elastic: ClassVar[tuple[str, ...] | None] = None
    widths: ClassVar[tuple[str, ...]] = ()

    def convs(self, shape: Shape) -> Iterator[Conv]:
        """The convolutions executed for one image of input `shape`, in order."""
        raise TypeError(f"{type(self).__name__} does not list its convolutions")

    def out_shape(self, shape: Shape) -> Shape:
        """Output shape for input `shape`."""
        raise TypeError(f"{type(self).__name__} does not state its output shape")

    def build(self, shape: Shape, drop_path_rate: float = 0.0) -> nn.Module:
        """A fresh module for input `shape`; `drop_path_rate` is stochastic depth on the residual branch, if any.

        What supernets ask of modules, all optional: `has_residual` and `branch(x)`, the block without its shortcut, so
        that a mixture adds the shortcuts of its candidates once; `masked(x, channels)`, the block without its shortcut
        under `ChannelMasks`, and `behind_shortcut(x)`, what follows the shortcut, so that widths can be searched;
        `bottleneck()`, its parts, for kinds that run with others (`batch_family`, `nests`).
        """
        raise TypeError(f"{type(self).__name__} does not build a module")

    def cost(self, shape: Shape) -> Cost:
        """Parameters, MACs and activations for input `shape`."""
        return total(self.convs(shape))

    def stored(self, shape: Shape) -> Stored:
        """Weights and biases that remain for input `shape`; parameters outside of convolutions count as biases."""
        convs = list(self.convs(shape))
        others = self.cost(shape).params - total(convs).params
        return Stored(sum(conv.weights for conv in convs), sum(conv.biases for conv in convs) + others)

    def record(self, tape: Tape, x: Value) -> Value:
        """Write the operators executed for input `x` on `tape`, in order; gives the output.

        The default is a bound for kinds that do not say: the input, the output of every convolution (and its
        activation) and the layer's output are alive together, with a shortcut its output twice. It is not below the
        truth where a block consists of its `convs`, activations behind them, gates, one sum or concatenation, and a
        shortcut.
        """
        made = [tape.act(tape.write((x,), _output(conv))) for conv in self.convs(x.shape)]
        if made:
            largest = max(range(len(made)), key=lambda i: elements(made[i].shape))
            made[largest] = tape.act(made[largest])  # where a gate would be
        joined = tape.write((x, *made), self.out_shape(x.shape))
        return tape.write((x, joined, *made), joined.shape) if self.has_residual(x.shape) else joined

    def peak(self, shape: Shape, in_place: InPlace) -> int:
        """Elements of activations alive at once at most, with the input of `shape`; see `search_spaces.memory.tape`."""
        tape = Tape(shape)
        return peak(tape, self.record(tape, tape.input), in_place)

    @property
    def label(self) -> str:
        """Short name for tables and logs."""
        return self.kind

    def is_identity(self, shape: Shape) -> bool:
        """Whether nothing is executed at input `shape`."""
        return False

    def has_residual(self, shape: Shape) -> bool:
        """Whether the input is added to the output (or to a part of its channels)."""
        return False

    def table_row(self, shape: Shape) -> Layer | None:
        """One representative of all layers that execute the same for `shape`; None where nothing is executed."""
        return self

    def batch_family(self, shape: Shape) -> Hashable | None:
        """Candidates of equal, not-None answers run as one in a full mixture.

        Their modules have a `bottleneck()` of expansion, depthwise convolution and projection, and nothing else.
        """
        return None

    @property
    def nests(self) -> bool:
        """Whether it is a slice of its own kind with larger kernel and expansion, for superkernels.

        It then has `kernel_size`, `expand_ratio`, `se`, `expanded` and `has_expand`, and its module a `bottleneck()`.
        """
        return False

    @property
    def why_alone(self) -> str:
        """Why it does not nest, as a clause about it; '' where there is no more to say."""
        return ""

    def resized(self, kernel_size: int, expand_ratio: float, se: SqueezeExcite | None) -> Layer:
        """The layer of other kernel, expansion and squeeze-and-excitation, for kinds that nest."""
        values: dict[str, Any] = {"kernel_size": kernel_size, "expand_ratio": expand_ratio, "se": se}
        return dataclasses.replace(self, **values)

    def inner_widths(self, shape: Shape) -> InnerWidths:
        """What is inside when its channels are masked; it follows from input, `out_channels` and `expand_ratio`.

        Raises `ValueError` where slices of its channels do not nest, and for kinds that say nothing about it.
        """
        raise ValueError(
            f"{self.kind} blocks do not run under channel masks; list other blocks, fix channels and depths, or take "
            "method=predictor"
        )

    def executed(self, shape: Shape) -> Layer | None:
        """The layer whose module is built for `shape`: itself, unless it is another's name; None: nothing is."""
        return None if self.is_identity(shape) else self

    def in_timm(self, shape: Shape) -> dict[str, Any] | None:
        """The arguments of timm's block that computes the same under the same parameter names; None: it has none.

        In the form of `search_spaces.blocks.parts.timm_words`.
        """
        return None

    def slice_form(self, shape: Shape) -> Hashable:
        """What layers have in common that are slices of one module: all but their `elastic` fields.

        Whether they expand (`InnerWidths`) belongs to it: what only some of them have is in no module of theirs but for
        squeeze-and-excitation. Raises `ValueError` for layers that are slices of none.
        """
        if self.elastic is None:
            raise ValueError(f"{self.kind} blocks do not say how they are sliced")
        fixed = [field.name for field in dataclasses.fields(self) if field.name not in self.elastic]
        expands = self.inner_widths(shape).expands
        return type(self), expands, *(getattr(self, name) for name in fixed)

    def enclosing(self, others: Iterable[Layer]) -> Layer:
        """The smallest layer of its form of which it and `others` of that form are slices: the largest of each field.

        Squeeze-and-excitation is there where any has it, and of the largest ratio.
        """
        among = (self, *others)
        values = {name: _largest([getattr(layer, name) for layer in among]) for name in self.elastic or ()}
        return dataclasses.replace(self, **values)

    def build_enclosing(self, shape: Shape, expands: bool) -> nn.Module:
        """A fresh module for slices of this layer with at most `shape`'s channels, all of which expand, or none."""
        return self.build(shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `kind` plus every field (those that came `later` where they are set)."""
        data = {"kind": self.kind, **dataclasses.asdict(self)}
        for field in dataclasses.fields(self):
            if "later" in field.metadata and data[field.name] == field.default:
                del data[field.name]
        return data

    @classmethod
    def from_card(cls, name: str, value: Any) -> Any:
        """The field `name` as `layer_from_dict` reads it, from the `value` that a yaml card may write instead."""
        return SqueezeExcite.from_card(value) if name == "se" else value


def _largest(values: Sequence[Any]) -> Any:
    """The largest of numbers, of sides (height and width each), of squeezes by their ratio."""
    squeezes = [value for value in values if isinstance(value, SqueezeExcite)]
    if squeezes:
        return max(squeezes, key=lambda se: se.ratio)
    pairs = [value if isinstance(value, tuple) else (value, value) for value in values]
    if any(isinstance(value, tuple) for value in values):
        return max(height for height, _ in pairs), max(width for _, width in pairs)
    return None if values[0] is None else max(values)


def _output(conv: Conv) -> Shape:
    return Shape(conv.out_channels, conv.height, conv.width)


KINDS: dict[str, type[Layer]] = {}
"""The block kinds that are registered, by the names that arch files and cards give them."""
INSTALLED = "search_spaces.blocks"
Kind = TypeVar("Kind", bound=Layer)


def register(cls: type[Kind]) -> type[Kind]:
    """Decorator of a block kind: makes it known to files and yaml cards by its `kind`.

    Raises `ValueError` without a `kind`, and for one that another class has.
    """
    known = KINDS.get(cls.kind)
    if not cls.kind or (known is not None and (known.__module__, known.__name__) != (cls.__module__, cls.__name__)):
        taken = f"; {known.__module__} has that one" if known else ""
        raise ValueError(f"{cls.__name__} needs a `kind` of its own, got {cls.kind!r}{taken}")
    KINDS[cls.kind] = cls
    return cls


def layer_from_dict(data: Any) -> Layer:
    """The layer that `Layer.to_dict` wrote. Unknown kinds, unknown or missing fields and bad values are refused."""
    if not isinstance(data, Mapping) or "kind" not in data:
        raise ValueError(f"a layer is an object with a 'kind', got {str(data)[:80]}")
    kind = data["kind"]
    if isinstance(kind, str) and kind not in KINDS:
        _load_installed_kinds()
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown layer kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    return fields.read(KINDS[kind], {name: value for name, value in data.items() if name != "kind"}, kind)


@cache
def _load_installed_kinds() -> None:
    """Import the modules that installed packages name in the entry-point group `INSTALLED`."""
    for entry_point in metadata.entry_points(group=INSTALLED):
        entry_point.load()
