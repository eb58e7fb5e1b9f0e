"""What a space that searches widths decides about each layer: how many channels, as tables over its variables."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.monotone import MonotoneSpace
from search_spaces.space import SearchSpace, Term

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Quantity:
    """A number that `variables` decide: `table` has an axis for each, none for a constant."""

    variables: tuple[int, ...]
    table: NDArray[np.float64]

    @property
    def largest(self) -> int:
        return int(self.table.max())

    def weights(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Probability of each entry of the table, flattened: products of independent choices."""
        joint = probabilities[0].new_ones(1)
        for v in self.variables:
            joint = (joint[:, None] * probabilities[v]).flatten()
        return joint

    @cached_property
    def masks(self) -> Tensor:
        """(entries, largest): row k has ones up to the k-th value, then zeros."""
        import torch

        counts = torch.from_numpy(np.ascontiguousarray(self.table).reshape(-1, 1))
        return (torch.arange(self.largest) < counts).float()


@dataclass(frozen=True)
class LayerWidths:
    """One layer of the widest network and what the choices decide about it.

    `out`: channels it gives; `inner`, `squeezed`, `start`: those inside it (`InnerWidths`), None where it has none;
    `residual`: whether its input is added (0 or 1).
    """

    layer: Layer
    out: Quantity
    inner: Quantity | None
    squeezed: Quantity | None
    residual: Quantity
    start: Quantity | None


def width_plan(space: SearchSpace) -> tuple[Arch, tuple[LayerWidths, ...]]:
    """The widest network of `space` and the widths of each of its layers.

    Raises `ValueError` naming the stage where choices decide anything but output channels, and for blocks whose slices
    do not nest (grouped convolutions, an expansion that comes and goes with the width).
    """
    if isinstance(space, MonotoneSpace):
        raise ValueError(f"{space.name}: monotone channels are no independent choices; use channels=free")
    stages: list[list[LayerWidths]] = []
    for term in space.terms:
        if term.stage == len(stages):
            stages.append([])
        stages[term.stage] += _term_widths(space, term)
    plan = tuple(entry for stage in stages for entry in stage)
    one = space.decode([0] * len(space.variables))
    widest = dataclasses.replace(one, stages=tuple(tuple(entry.layer for entry in stage) for stage in stages))
    if not any(entry.out.variables for entry in plan):
        raise ValueError(f"{space.name} has no choices of channels; width search needs some")
    return widest, plan


def _term_widths(space: SearchSpace, term: Term) -> list[LayerWidths]:
    sizes = [len(space.variables[v]) for v in term.variables]
    runs = [list(term.walk(genes)) for genes in itertools.product(*(range(size) for size in sizes))]
    if len({len(run) for run in runs}) > 1:
        raise ValueError(f"{space.name}: stage {term.stage} has choices of depth; width search needs one depth a stage")
    found = []
    for steps in zip(*runs, strict=True):
        one_width = getattr(steps[0][0], "out_channels", 0)  # one that the kind takes
        forms = {(_with_width(layer, one_width), shape[1:]) for layer, shape in steps}
        if len(forms) > 1:
            names = ", ".join(space.variables[v].name for v in term.variables)
            raise ValueError(
                f"{space.name}: in stage {term.stage} more than channels is searched ({names}); width search needs one "
                "kernel, expansion and resolution"
            )
        numbers = np.array([_numbers(space, term.stage, layer, shape) for layer, shape in steps], dtype=np.float64)
        out, residual, expands, *inside = (_quantity(term.variables, column.reshape(sizes)) for column in numbers.T)
        if len(set(expands.table.flat)) > 1:
            raise ValueError(
                f"{space.name}: stage {term.stage}: some widths have an expansion or a projected shortcut and others "
                "none; width search needs one form"
            )
        layer = _with_width(steps[0][0], out.largest)
        inner, squeezed, start = (quantity if quantity.largest else None for quantity in inside)
        found.append(LayerWidths(layer, out, inner, squeezed, residual, start))
    return found


def _with_width(layer: Layer, out_channels: int) -> Layer:
    """`layer` with other output channels; a classifier as it is."""
    values: dict[str, Any] = {"out_channels": out_channels} if hasattr(layer, "out_channels") else {}
    return dataclasses.replace(layer, **values)


def _numbers(space: SearchSpace, stage: int, layer: Layer, shape: Shape) -> tuple[float, ...]:
    """Output channels, residual, expansion, and the channels inside (0: none): inner, squeezed, start."""
    out = layer.out_shape(shape).channels
    try:
        inner = layer.inner_widths(shape)
    except ValueError as error:
        raise ValueError(f"{space.name}: stage {stage}: {error}") from None
    ends = out, float(layer.has_residual(shape)), float(inner.expands)
    return *ends, inner.inner, inner.squeezed, inner.start


def _quantity(variables: tuple[int, ...], table: NDArray[np.float64]) -> Quantity:
    """`table` without the axes that change nothing."""
    kept = []
    for axis in reversed(range(table.ndim)):
        if (table == np.take(table, [0], axis)).all():
            table = np.take(table, 0, axis)
        else:
            kept.append(variables[axis])
    return Quantity(tuple(reversed(kept)), table)
