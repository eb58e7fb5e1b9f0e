"""The envelope of a space: for every place of its networks, the largest layers of which all others are slices."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from search_spaces.arch import Arch
from search_spaces.blocks import Layer, SqueezeExcite
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace, Steps

if TYPE_CHECKING:  # a question about a space needs no torch
    from torch import nn

KNOWN_ARCHS = 4096  # whose steps are kept
Form = tuple[Hashable, SqueezeExcite | None]  # of a layer: see `_form`


class Step(NamedTuple):
    """A layer of an arch: the place that runs it, and which of that place's envelopes."""

    layer: Layer
    place: int
    envelope: int


@dataclass(frozen=True)
class Envelope:
    """The smallest `layer` and input `shape` of which layers of one form are slices; they all expand, or none does.

    `always_residual`: whether all of them add their input.
    """

    layer: Layer
    shape: Shape
    expands: bool
    always_residual: bool

    def build(self) -> nn.Module:
        """A fresh module for all of them."""
        return self.layer.build_enclosing(self.shape, self.expands)


@dataclass
class Place:
    """A layer of the networks, the `position`-th of what a term of the space contributes, from the front.

    `envelopes`: one for each form of layer that it can hold (kinds, and what in a kind is no size); `number`: which of
    them a form has.
    """

    stage: int
    envelopes: list[Envelope] = field(default_factory=list)
    number: dict[Form, int] = field(default_factory=dict)


class NoEnvelope(ValueError):
    """A space some of whose layers are no slices; `reason`: where, and why."""

    def __init__(self, space: SearchSpace, reason: str) -> None:
        super().__init__(
            f"{space.name}: {reason}; an elastic supernet holds slices of one largest network: leave such blocks out, "
            "or take search.scorer=training"
        )
        self.reason = reason


class ElasticPlan:
    """The places of `space`, and which of them an arch runs.

    Raises `NoEnvelope` naming the stage where some layer is no slice of a larger one, such as a grouped convolution.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.places: list[Place] = []
        self._of_term: list[list[int | None]] = []  # by term and position
        for term, walks in zip(space.terms, space.walks, strict=True):
            longest = max(len(run) for run in walks.values)
            found: list[int | None] = []
            for i in range(longest):
                place = self._place(term.stage, [run[i] for run in walks.values if i < len(run)])
                found.append(len(self.places) if place else None)
                self.places += [place] if place else []
            self._of_term.append(found)
        self.steps = functools.lru_cache(maxsize=KNOWN_ARCHS)(self._steps)

    def _steps(self, arch: Arch) -> tuple[Step, ...]:
        """The layers of `arch` that execute anything, in order. Raises `ValueError` for an arch of another space.

        Where several genotypes give an arch, that of `encode` says which places it has: it is a function of the arch.
        """
        genes = self.space.encode(arch)
        found = []
        for term, walks, places in zip(self.space.terms, self.space.walks, self._of_term, strict=True):
            run: Steps = walks.values[int(walks.numbers[tuple(genes[v] for v in term.variables)])]
            for (layer, shape), number in zip(run, places, strict=False):  # a shorter run has the first places
                executed = layer.executed(shape)
                if executed is not None and number is not None:
                    found.append(Step(executed, number, self.places[number].number[_form(executed, shape)]))
        return tuple(found)

    def _place(self, stage: int, steps: Sequence[tuple[Layer, Shape]]) -> Place | None:
        """The place that holds the layers of `steps`; None where they all execute nothing."""
        place, groups = Place(stage), dict[Form, list[tuple[Layer, Shape]]]()
        for layer, shape in steps:
            executed = layer.executed(shape)
            if executed is not None:
                groups.setdefault(self._checked(executed, shape, stage), []).append((executed, shape))
        for form, members in _with_squeezes(groups).items():
            (first, shape), *rest = members
            largest = first.enclosing([layer for layer, _ in rest])
            channels = max(before.channels for _, before in members)
            expands = first.inner_widths(shape).expands
            place.number[form] = len(place.envelopes)
            residual = all(layer.has_residual(before) for layer, before in members)
            place.envelopes.append(Envelope(largest, shape._replace(channels=channels), expands, residual))
        for form in groups:  # those without a squeeze are slices of the first with one
            place.number.setdefault(form, next(n for f, n in place.number.items() if f[0] == form[0]))
        return place if place.envelopes else None

    def _checked(self, layer: Layer, shape: Shape, stage: int) -> Form:
        try:
            return _form(layer, shape)
        except ValueError as error:
            raise NoEnvelope(self.space, f"stage {stage}, {layer.label}: {error}") from None


def _form(layer: Layer, shape: Shape) -> Form:
    """What layers of one envelope have in common, and the style of the squeeze-and-excitation, if there is one."""
    se: SqueezeExcite | None = getattr(layer, "se", None)
    return layer.slice_form(shape), None if se is None else dataclasses.replace(se, ratio=1.0)


def _with_squeezes(groups: Mapping[Form, list[tuple[Layer, Shape]]]) -> dict[Form, list[tuple[Layer, Shape]]]:
    """`groups` with the layers without a squeeze among the first of their form that have one."""
    found = {form: list(members) for form, members in groups.items()}
    for form in groups:
        own, style = form
        host = next((other for other in found if other[0] == own and other[1] is not None), None)
        if style is None and host is not None:
            found[host] += found.pop(form)
    return found
