"""Writing down a space by what its variables decide: choices, values that follow from them, and a chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.blocks import Classifier, Layer
from search_spaces.composed import ComposedSpace
from search_spaces.costs import Shape
from search_spaces.pricing.tabulated import Tabulated, applied, of_options
from search_spaces.resolution import Pixels, Resolution, canonical, size
from search_spaces.space import Genotype, Steps, Term, Variable

Genes = Mapping[int, int] | Sequence[int]  # gene of each variable, by its index


@dataclass(frozen=True)
class Choice:
    """A value that `variables` (indices, none for a constant) decide: `value(genes)`, `genes[v]` being v's gene.

    `tabulate()`: the same for all genes at once, each distinct combination of what it is made of computed once.
    """

    variables: tuple[int, ...]
    value: Callable[[Genes], Any]
    tabulate: Callable[[], Tabulated]

    @cached_property
    def table(self) -> Tabulated:
        """What `tabulate` gives, one axis per variable."""
        return self.tabulate()


def constant(value: Any) -> Choice:
    """A value that nothing decides."""
    return Choice((), lambda genes: value, lambda: applied(lambda: value, (), ()))


def combine(function: Callable[..., Any], *choices: Choice) -> Choice:
    """`function` of the values of `choices`."""
    variables = tuple(dict.fromkeys(v for choice in choices for v in choice.variables))
    return Choice(
        variables,
        lambda genes: function(*(choice.value(genes) for choice in choices)),
        lambda: applied(function, [(choice.variables, choice.table) for choice in choices], variables),
    )


class Chain:
    """A space being written down from stem to classifier; each run of layers becomes a term of it.

    The chain remembers which channels and which total stride reach the next run, so that shapes are never stated
    twice. `resolutions`: input sizes to choose from, each a number of pixels or `[height, width]`.
    """

    def __init__(self, name: str, resolutions: Sequence[Pixels], in_channels: int) -> None:
        self.name, self.in_channels = name, in_channels
        self.variables: list[Variable] = []
        self.terms: list[Term] = []
        self.resolution = self.choice("resolution", [canonical(each, "resolutions: each") for each in resolutions])
        self.channels = constant(in_channels)
        self.total_stride, self.stage, self.pooled = constant(1), 0, False

    def choice(self, name: str, options: Sequence[Any], ordered: bool = True) -> Choice:
        """One of `options`: a new variable called `name`, or a constant where there is one option.

        Raises `ValueError` for no options or repeated ones.
        """
        if not options or len(set(options)) != len(options):
            raise ValueError(f"{self.name}: {name} needs a list of different choices, got {list(options)}")
        if len(options) == 1:
            return constant(options[0])
        index, values = len(self.variables), tuple(options)
        self.variables.append(Variable(name, values, ordered))
        return Choice((index,), lambda genes: values[genes[index]], lambda: of_options(values))

    def run(self, layers: Choice, out_channels: Choice | None = None, stride: int | Choice = 1) -> None:
        """Append `layers` (a choice of tuples of layers, possibly empty) of total `stride` to the open stage.

        `out_channels`: of the last of them; None where the run keeps the channels.
        """
        before = constant(0) if self.pooled else self.total_stride
        shape = combine(_shape, self.resolution, self.channels, before)
        self.terms.append(_term(self.stage, layers, shape))
        self.channels = self.channels if out_channels is None else out_channels
        more = stride if isinstance(stride, Choice) else constant(stride)
        self.total_stride = combine(lambda a, b: a * b, self.total_stride, more)

    def layer(self, layer: Choice, out_channels: Choice | None = None, stride: int | Choice = 1) -> None:
        """Append one layer, as `run` does."""
        self.run(combine(lambda built: (built,), layer), out_channels, stride)

    def next_stage(self) -> None:
        """What follows belongs to the next stage."""
        self.stage += 1

    def pool(self) -> None:
        """The last layer pooled: what follows sees 1x1 maps."""
        self.pooled = True

    def space(self, num_classes: int) -> ComposedSpace:
        """The finished space, closed by a classifier."""
        self.layer(constant(Classifier(num_classes)))
        return self.closed()

    def closed(self, interpolated: bool = False) -> ComposedSpace:
        """The finished space, whose last run ends in a classifier; see `SearchSpace.interpolated`."""
        space = ComposedSpace(self.name, self.variables, self.terms, self.resolution.value, self.in_channels)
        space.interpolated = interpolated
        return space


def repeated(layer: Layer, count: int) -> tuple[Layer, ...]:
    """`count` times the same layer: the further blocks of a stage."""
    return (layer,) * count


def _shape(resolution: Resolution, channels: int, total_stride: int) -> Shape:
    """Shape behind `total_stride` with "same" padding (0: behind a pooling)."""
    if not total_stride:
        return Shape(channels, 1, 1)
    return Shape(channels, *Shape(channels, *size(resolution)).strided(total_stride))


def _term(stage: int, layers: Choice, shape: Choice) -> Term:
    walks = combine(_walk, layers, shape)
    variables = walks.variables

    def named(genes: Genotype) -> dict[int, int]:
        return dict(zip(variables, genes, strict=True))

    return Term(
        stage,
        variables,
        lambda genes: tuple(layers.value(named(genes))),
        lambda genes: shape.value(named(genes)),
        lambda: walks.table,
    )


def _walk(layers: Sequence[Layer], shape: Shape) -> Steps:
    """`layers` with the shapes of their inputs, `shape` being that of the first."""
    steps = []
    for layer in layers:
        steps.append((layer, shape))
        shape = layer.out_shape(shape)
    return tuple(steps)
