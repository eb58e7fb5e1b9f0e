"""What a space is made of: its variables, and the runs of layers that a few of them decide."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.blocks import Layer
from search_spaces.costs import Shape
from search_spaces.pricing.tabulated import Tabulated

Genotype = tuple[int, ...]
"""One network of a space: for each of its variables the number of the choice, from 0."""
Population = NDArray[np.int64]
"""Genotypes, one a row: (n, variables) int64."""
Steps = tuple[tuple[Layer, Shape], ...]


@dataclass(frozen=True)
class Variable:
    """A named choice. `ordered` says that neighbouring choices are alike (a kernel size), for encodings.

    Raises `ValueError` where there are no `choices`.
    """

    name: str
    choices: tuple[Any, ...]
    ordered: bool = False

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError(f"variable {self.name!r} has no choices")

    def __len__(self) -> int:
        return len(self.choices)

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The choices as texts, no two alike: where several read the same, each with its number behind `#`."""
        texts = [str(choice) for choice in self.choices]
        return tuple(text if texts.count(text) == 1 else f"{text}#{i}" for i, text in enumerate(texts))


@dataclass(frozen=True)
class Term:
    """A run of layers in one stage that a few variables decide; an arch is the concatenation of its terms.

    `variables`: the genes it depends on; `layers(genes)`: its layers, given those genes in that order (possibly none);
    `shape(genes)`: the shape that reaches the first of them. `walks()`: what `walk` gives of all genes, where that is
    known without asking for each combination of them.
    """

    stage: int
    variables: tuple[int, ...]
    layers: Callable[[Genotype], tuple[Layer, ...]]
    shape: Callable[[Genotype], Shape]
    walks: Callable[[], Tabulated] | None = None

    def walk(self, genes: Genotype) -> Iterator[tuple[Layer, Shape]]:
        """Its layers with the shapes of their inputs."""
        shape = self.shape(genes)
        for layer in self.layers(genes):
            yield layer, shape
            shape = layer.out_shape(shape)
