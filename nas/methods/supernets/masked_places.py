"""A place of a masked network: the blocks it can hold, and how their channels follow from the genes of the space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.additive import Floats
from search_spaces.space import Genotype

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number of channels out of `size` that `variables` decide: `table` has an axis for each, none for a constant.

    NaN: the block is another one there; the others' probabilities are those given that it is this one.
    """

    variables: tuple[int, ...]
    table: Floats
    size: int

    @property
    def varies(self) -> bool:
        """Whether there is anything to mask."""
        return bool(self.variables) or float(self.table) != self.size

    def mask(self, probabilities: Sequence[Tensor]) -> Tensor | None:
        """(size,): the probability that each channel is there; None where all of them always are.

        `probabilities[v]`: (choices of variable v,), independent of each other.
        """
        if not self.varies:
            return None
        joint = probabilities[0].new_ones(1)
        for v in self.variables:
            joint = (joint[:, None] * probabilities[v]).flatten()
        if self._known is not None:
            joint = joint * self._known.to(joint)
            joint = joint / joint.sum().clamp_min(1e-30)
        if self._many is not None:
            joint = joint.new_zeros(len(self._steps)).index_add(0, self._many, joint)
        return joint @ self._steps.to(joint)

    @cached_property
    def _steps(self) -> Tensor:
        """(entries or distinct numbers, size): a row has ones up to its number of channels, then zeros."""
        import torch

        counts = np.ascontiguousarray(self.table).reshape(-1) if self._many is None else self._distinct[0]
        return (torch.arange(self.size) < torch.from_numpy(counts)[:, None]).float()

    @cached_property
    def _many(self) -> Tensor | None:
        """(entries,): which of few distinct numbers each of many entries is; None where the entries are few."""
        import torch

        numbers, which = self._distinct
        return torch.from_numpy(which) if self.table.size > 8 * len(numbers) else None

    @cached_property
    def _distinct(self) -> tuple[Floats, NDArray[np.int64]]:
        numbers, which = np.unique(np.nan_to_num(self.table), return_inverse=True)
        return numbers, which.reshape(-1).astype(np.int64)

    @cached_property
    def _known(self) -> Tensor | None:
        """(entries,): 0 where the block is another one; None where it never is."""
        import torch

        known = ~np.isnan(self.table).reshape(-1)
        return None if known.all() else torch.from_numpy(known).float()


@dataclass(frozen=True, eq=False)
class Candidate:
    """A block that a place can hold, at its largest: `layer` is executed whatever the widths, under masks.

    `out`: its output channels, 0 where the place holds another block, so that its mask is the probability that the
    block is this one and has the channel (in the head: given that it is this one). `inner`, `squeezed`, `start`:
    channels inside it (`InnerWidths`), given that it is this one; None where it has none.
    """

    layer: Layer
    out: Quantity
    inner: Quantity | None
    squeezed: Quantity | None
    start: Quantity | None

    @property
    def quantities(self) -> tuple[Quantity | None, ...]:
        """In the order of `ChannelMasks`."""
        return self.out, self.inner, self.squeezed, self.start


@dataclass(frozen=True, eq=False)
class Place:
    """A block of the largest network. `shape`: of its largest input.

    `taken`: over the genes of `variables`, which of `candidates` it holds, -1 where it is left out and its input goes
    on; `residual`: whether that one adds its input.
    """

    stage: int
    shape: Shape
    candidates: tuple[Candidate, ...]
    variables: tuple[int, ...]
    taken: NDArray[np.int64]
    residual: NDArray[np.bool_]

    @property
    def channels(self) -> int:
        """Of its output, at its largest."""
        return self.candidates[0].out.size

    @property
    def optional(self) -> bool:
        """Whether it can be left out."""
        return bool((self.taken < 0).any())

    def candidate(self, genotype: Genotype) -> int | None:
        """Which candidate it holds in the network of `genotype`; None where it is left out."""
        found = int(self.taken[tuple(genotype[v] for v in self.variables)])
        return None if found < 0 else found

    def share(self, candidate: int) -> Quantity:
        """Whether it holds that candidate (1 or 0)."""
        return Quantity(*reduced(self.variables, (self.taken == candidate).astype(np.float64)), 1)

    def shortcut(self, added: Sequence[int]) -> Quantity:
        """Whether its input goes on beside the block (1 or 0): where it is left out, or one of `added` adds it."""
        there = (self.taken < 0) | (self.residual & np.isin(self.taken, added))
        return Quantity(*reduced(self.variables, there.astype(np.float64)), 1)


def reduced(variables: tuple[int, ...], table: Floats) -> tuple[tuple[int, ...], Floats]:
    """`table` without the axes that change nothing: neither its values nor where it has any (NaN: it has none)."""
    kept: list[int] = []
    for axis in reversed(range(table.ndim)):
        known = ~np.isnan(table)
        elsewhere = tuple(other for other in range(table.ndim) if other != axis)
        rest, own = known.any(axis=axis, keepdims=True), known.any(axis=elsewhere, keepdims=True)
        value = np.where(known, table, -np.inf).max(axis=axis, keepdims=True)
        if ((known == (rest & own)) & (~known | (table == value))).all():
            table = np.where(rest, value, np.nan).squeeze(axis)
        else:
            kept.append(variables[axis])
    return tuple(reversed(kept)), table
