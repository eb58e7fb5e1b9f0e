"""Candidates that nest: the kernels and expansions of one position as slices of its largest block.

A nest is a chain of yes/no decisions. Kernel decisions: is the next larger ring used? Width decisions: is the block
there at all, then, is the next group of channels used? The first "no" of a chain ends it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from search_spaces.blocks import Layer
from search_spaces.space import Position

Mode = Literal["default", "paper"]  # of Single-Path NAS


@dataclass(frozen=True)
class Choice:
    """A block of a nest: index of its kernel, index of its width, whether it squeezes and excites."""

    kernel: int
    width: int
    se: bool


@dataclass(frozen=True)
class Nest:
    """The candidates of `position` as choices.

    `kernels`: kernel sizes, ascending; `widths`: channels of the depthwise convolution, ascending; `se`: the
    squeeze-and-excitation options, of `(False,)`, `(True,)` and `(False, True)`; `choices[gene]`: what a candidate is,
    None for leaving the block out; `largest`: the block all others are slices of.
    """

    position: Position
    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    se: tuple[bool, ...]
    choices: tuple[Choice | None, ...]
    largest: Layer

    @property
    def skippable(self) -> bool:
        return None in self.choices

    def gene(self, kernel: Sequence[bool], width: Sequence[bool], se: bool) -> int:
        """The candidate of the decisions: `kernel` (kernels - 1), `width` (widths; the first: block there), `se`."""
        if not width[0]:
            return self.choices.index(None)
        steps = [len(list(itertools.takewhile(bool, bits))) for bits in (kernel, width[1:])]
        return self.choices.index(Choice(steps[0], steps[1], bool(se)))


def nest_of(position: Position) -> Nest:
    """The nest of `position`'s candidates.

    Raises `ValueError` where they do not nest: they must be of one kind that does (ungrouped inverted residuals with
    one depthwise convolution, universal bottlenecks with a middle one), differ in that kernel, expansion and
    squeeze-and-excitation only, in every combination, and possibly an identity.
    """
    shape = position.shape
    candidates: tuple[Any, ...] = position.candidates  # those that nest have the fields of an inverted residual
    blocks: list[Any] = []
    for layer in candidates:
        if layer.nests:
            blocks.append(layer)
        elif not layer.is_identity(shape):
            where = " where the shape changes (space.skip_at_shape_change=false)" if layer.leaves_out else ""
            why = f" ({layer.why_alone})" if layer.why_alone else ""
            raise ValueError(
                f"{position.name}: candidate {layer.label!r} is not a slice of a larger block{why}; single_path needs "
                "inverted residuals without groups (or universal bottlenecks with a middle_kernel), and identities: "
                f"leave it out of space.candidates{where}"
            )
    if not blocks:
        raise ValueError(f"{position.name}: single_path needs at least one inverted residual among the candidates")
    kernels = tuple(sorted({block.kernel_size for block in blocks}))
    ratios = sorted({block.expand_ratio for block in blocks})
    by_ratio = {ratio: blocks[0].resized(kernels[-1], ratio, None).expanded(shape.channels) for ratio in ratios}
    widths = tuple(by_ratio[ratio] for ratio in ratios)
    excites = [block.se for block in blocks if block.se is not None]
    se = tuple(sorted({block.se is not None for block in blocks}))
    largest = blocks[0].resized(kernels[-1], ratios[-1], excites[0] if excites else None)
    if len(set(widths)) < len(widths):
        raise ValueError(f"{position.name}: expansions {ratios} give {list(widths)} channels; drop the equal ones")
    if excites and (len(set(excites)) > 1 or excites[0].of != "input"):
        raise ValueError(f"{position.name}: squeeze-and-excitation nests with one ratio, of the input channels")
    choices: list[Choice | None] = []
    for layer in candidates:
        if not layer.nests:
            choices.append(None)
            continue
        choices.append(Choice(kernels.index(layer.kernel_size), ratios.index(layer.expand_ratio), layer.se is not None))
        own = largest.resized(layer.kernel_size, layer.expand_ratio, layer.se)
        if own != layer or not layer.has_expand(shape.channels):
            raise ValueError(
                f"{position.name}: {layer.label!r} differs from the others in {_difference(own, layer)}, not only in "
                "kernel, expansion and squeeze-and-excitation"
            )
    if len(blocks) != len(kernels) * len(widths) * len(se):
        raise ValueError(
            f"{position.name}: single_path needs every kernel of {list(kernels)} with every expansion of {ratios}, got "
            f"{', '.join(position.labels)}"
        )
    if None in choices and not largest.has_residual(shape):
        raise ValueError(f"{position.name}: a block without residual cannot be skipped")
    return Nest(position, kernels, widths, se, tuple(choices), largest)


def _difference(one: Layer, other: Layer) -> str:
    """The names of what differs."""
    a, b = one.to_dict(), other.to_dict()
    if a["kind"] != b["kind"]:
        return "kind"
    return ", ".join(name for name in {**a, **b} if a.get(name) != b.get(name)) or "whether it expands"
