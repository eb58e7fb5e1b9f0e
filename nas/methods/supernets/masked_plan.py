"""What the genes of a space decide about each place of its largest network: which block, and how many channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.methods.supernets.masked_places import Candidate, Place, Quantity, reduced
from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.blocks.layer import InnerWidths
from search_spaces.costs import Shape
from search_spaces.space import SearchSpace, Term
from search_spaces.wrappers.monotone import MonotoneSpace

WIDTHS = ("out_channels", "expand_ratio")  # fields of layers that masks of their channels stand for
Step = tuple[Layer, Shape]  # a layer with the shape of its input


@dataclass(frozen=True)
class MaskedPlan:
    """Stem, blocks and head of the largest network; `widest`: that network with the first candidate of each place."""

    widest: Arch
    stem: Place
    blocks: tuple[Place, ...]
    head: tuple[Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        return self.stem, *self.blocks, *self.head


def masked_plan(space: SearchSpace) -> MaskedPlan:
    """The places of `space` and what its variables decide about them.

    Blocks that differ in `WIDTHS` alone are one candidate; others have weights of their own. Raises `ValueError` that
    names the stage where maps of several sizes reach a block (resolutions, strides), where blocks are grouped or do not
    nest, and where the stem is of several kinds.
    """
    if isinstance(space, MonotoneSpace):
        raise ValueError(f"{space.name}: monotone channels are no independent choices; use channels=free")
    stages: list[list[Place]] = []
    first = space.decode([0] * len(space.variables))
    channels = first.in_channels
    for term, walks in zip(space.terms, space.walks, strict=True):
        if term.stage == len(stages):
            stages.append([])
        reader = _TermReader(space, term, walks.numbers)
        for i in range(max(len(run) for run in walks.values)):
            place = reader.place([run[i] if i < len(run) else None for run in walks.values], channels)
            if place is not None:
                stages[-1].append(place)
                channels = place.channels
    (stem,), *inner, head = stages
    if stem.candidates[1:] or any(place.optional for place in (stem, *head)):
        raise ValueError(
            f"{space.name}: a supernet needs one kind of stem, which may vary in its channels alone, and a head of one "
            "number of layers: search one activation and one kernel of the stem"
        )
    widest = tuple(tuple(place.candidates[0].layer for place in stage) for stage in stages if stage)
    blocks = tuple(place for stage in inner for place in stage)
    return MaskedPlan(dataclasses.replace(first, stages=widest), stem, blocks, tuple(head))


def check_widths_alone(space: SearchSpace, plan: MaskedPlan) -> None:
    """Raise `ValueError` where `space` decides more than widths (channels, expansions), or no width at all."""
    cure = "method=masking searches widths alone: fix it, or take method=dnas"
    for place in plan.places:
        if place.optional:
            raise ValueError(f"{space.name}: stage {place.stage} has choices of depth; {cure}")
        if place.candidates[1:]:
            names = ", ".join(space.variables[v].name for v in place.variables)
            raise ValueError(f"{space.name}: in stage {place.stage} more than channels is searched ({names}); {cure}")
    quantities = (q for place in plan.places for candidate in place.candidates for q in candidate.quantities)
    if not any(quantity is not None and quantity.varies for quantity in quantities):
        raise ValueError(f"{space.name} has no choices of channels; width search needs some")


class _TermReader:
    """Reads places off the runs of one `term`: `index` says over its variables which run a genotype has."""

    def __init__(self, space: SearchSpace, term: Term, index: NDArray[np.int64]) -> None:
        self.stage, self.variables, self.index = term.stage, term.variables, index
        self.head = term.stage == space.terms[-1].stage  # whose maps may be pooled
        self.where = f"{space.name}: stage {term.stage}"
        self.names = ", ".join(space.variables[v].name for v in term.variables) or "nothing"
        self.known: dict[Hashable, Quantity] = {}

    def place(self, steps: Sequence[Step | None], channels: int) -> Place | None:
        """The place that holds the layer of `steps[r]` (None: none) in run r; `channels`: of its largest input."""
        there = [step if step is not None and not step[0].is_identity(step[1]) else None for step in steps]
        present = [step for step in there if step is not None]
        if not present:
            return None
        shape = Shape(channels, *self._map(present, None in there))
        widest = max(layer.out_shape(own).channels for layer, own in present)
        out_channels = max(widest, channels) if None in there else widest
        groups: dict[Hashable, list[int]] = {}
        for run, step in enumerate(there):
            if step is not None:
                groups.setdefault(self._form(*step), []).append(run)
        taken = np.full(len(steps), -1)
        for k, runs in enumerate(groups.values()):
            taken[runs] = k
        residual = np.array([step is not None and step[0].has_residual(step[1]) for step in there])
        candidates = tuple(self._candidate(there, runs, shape, out_channels) for runs in groups.values())
        return Place(self.stage, shape, candidates, self.variables, taken[self.index], residual[self.index])

    def _map(self, present: Sequence[Step], optional: bool) -> tuple[int, int]:
        """Height and width of the input, which must be one, as those of the output must (but for the head)."""
        if self.head:
            present = [step for step in present if step[0].role != "classifier"] or present[:1]
        ends = {(shape[1:], (shape if self.head else layer.out_shape(shape))[1:]) for layer, shape in present}
        if len(ends) > 1:
            inputs, outputs = map(set, zip(*ends, strict=True))
            does, sizes = ("gets", inputs) if len(inputs) > 1 else ("gives", outputs)
            maps = " and ".join(f"{height}x{width}" for height, width in sorted(sizes))
            raise ValueError(
                f"{self.where} {does} maps of {maps} pixels ({self.names}); one set of weights needs one size: search "
                "one resolution and one stride a stage, or take method=predictor"
            )
        ((before, behind),) = ends
        if optional and before != behind:
            raise ValueError(
                f"{self.where} can be left out with its stride ({self.names}); one set of weights needs maps of one "
                "size: give it a depth of at least 1, or take method=predictor"
            )
        height, width = before
        return height, width

    def _form(self, layer: Layer, shape: Shape) -> Hashable:
        """What must be equal for two layers to be one under masks."""
        fixed = (value for name, value in _fields(layer).items() if name not in WIDTHS)
        return type(layer), self._inner(layer, shape).expands, *fixed

    def _inner(self, layer: Layer, shape: Shape) -> InnerWidths:
        try:
            return layer.inner_widths(shape)
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from None

    def _candidate(self, steps: Sequence[Step | None], runs: Sequence[int], shape: Shape, channels: int) -> Candidate:
        """The block of `runs`, whose layers differ in width alone, at its largest: of `shape`, to `channels`."""
        own = {run: step for run in runs if (step := steps[run]) is not None}
        largest = self._largest([layer for layer, _ in own.values()], channels)
        inside = self._inner(largest, shape)
        widths = [self._inner(*step) for step in own.values()]
        if inside.expands != widths[0].expands:
            raise ValueError(
                f"{self.where}: {largest.label}: some widths have an expansion or a projected shortcut and others "
                "none; masks need one form: use expand_at_1=true, or widths that differ from those before them"
            )

        def table(values: Sequence[float], elsewhere: float) -> list[float]:
            given = dict(zip(own, values, strict=True))
            return [given.get(run, elsewhere) for run in range(len(steps))]

        out = table([layer.out_shape(before).channels for layer, before in own.values()], np.nan if self.head else 0)
        sizes = {"inner": inside.inner, "squeezed": inside.squeezed, "start": inside.start}
        found = {
            name: self._quantity(table([getattr(w, name) for w in widths], np.nan), size) if size else None
            for name, size in sizes.items()
        }
        size = channels if hasattr(largest, "out_channels") else largest.out_shape(shape).channels
        return Candidate(largest, self._quantity(out, size), **found)

    def _largest(self, layers: Sequence[Layer], channels: int) -> Layer:
        fields = [_fields(layer) for layer in layers]
        widths = {"out_channels": channels, "expand_ratio": max(own.get("expand_ratio", 0) for own in fields)}
        return dataclasses.replace(layers[0], **{name: widths[name] for name in WIDTHS if name in fields[0]})

    def _quantity(self, numbers: Sequence[float], size: int) -> Quantity:
        """The quantity of `numbers`, one per run; one object for equal ones, so that its mask is computed once."""
        variables, table = reduced(self.variables, np.asarray(np.array(numbers, dtype=np.float64)[self.index]))
        return self.known.setdefault((variables, table.tobytes(), size), Quantity(variables, table, size))


def _fields(layer: Layer) -> dict[str, Any]:
    return {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)}
