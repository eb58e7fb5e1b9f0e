"""Search spaces: named finite variables, and a decoder from genotypes to archs.

A genotype is one row of ints, one per variable; a population is an integer matrix `(n, variables)`, so that
sampling, mutation, encoding and pricing are array operations.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.costs import Count, Shape
from search_spaces.genes import Genotype, Population, Steps, Term, Variable
from search_spaces.memory.counted import Counted
from search_spaces.pricing.additive import AdditiveCost
from search_spaces.pricing.genotype_cost import CostKind, Floats
from search_spaces.pricing.peak import PeakCost
from search_spaces.pricing.tabulated import Tabulated, of_results
from search_spaces.resolution import Pixels, canonical

__all__ = ["Genotype", "LayerwiseSpace", "Population", "Position", "SearchSpace", "Steps", "Term", "Variable"]


class SearchSpace(ABC):
    """A finite set of archs, indexed by genotypes.

    `interpolated`: whether a latency table may measure a part of its rows and interpolate the others.
    `recipe_variables`: how many of the variables, the last ones, say how a network is trained.
    """

    name: str
    interpolated: bool = False
    recipe_variables: int = 0

    @property
    @abstractmethod
    def variables(self) -> tuple[Variable, ...]:
        """One variable per gene."""

    @abstractmethod
    def decode(self, genotype: Sequence[int]) -> Arch:
        """The arch of `genotype`. Raises `ValueError` where it is not a point of the space."""

    @abstractmethod
    def encode(self, arch: Arch) -> Genotype:
        """The genotype of `arch`, the inverse of `decode`. Raises `ValueError` where `arch` is not in the space."""

    @property
    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """The archs of the space, cut into runs of layers that depend on as few variables as possible."""

    @cached_property
    def fingerprint(self) -> str:
        """A digest of everything the space is: its variables and the layers behind every choice of them."""
        found = hashlib.sha256(repr([(v.name, [str(c) for c in v.choices]) for v in self.variables]).encode())
        for term, walks in zip(self.terms, self.walks, strict=True):
            found.update(repr((term.stage, term.variables)).encode())
            texts = [
                json.dumps([(layer.to_dict(), str(shape)) for layer, shape in steps], sort_keys=True)
                for steps in walks.values
            ]
            for genes, number in zip(self._choices(term), walks.numbers.reshape(-1).tolist(), strict=True):
                if number >= 0:
                    found.update(f"[{list(genes)}, {texts[number]}]".encode())
        return found.hexdigest()[:32]

    @property
    def listed(self) -> Population | None:
        """All points (n, variables) of a space that lists them; None: they are all combinations of choices."""
        return None

    @property
    def arch_genes(self) -> int:
        """How many of the variables, the first ones, decide the network; the others how it is trained."""
        return len(self.variables) - self.recipe_variables

    @property
    def walks(self) -> tuple[Tabulated, ...]:
        """Per term, the `Steps` that it can contribute, as a function of its genes; none where no arch has these."""
        return self._walks

    @cached_property
    def _walks(self) -> tuple[Tabulated, ...]:
        found = []
        for term in self.terms:
            if term.walks is None:
                sizes = [len(self.variables[v]) for v in term.variables]
                walks = of_results((tuple(term.walk(genes)) for genes in self._choices(term)), sizes)
            else:
                walks = term.walks()
            possible = self.possible(term)
            found.append(walks if possible is None else walks.where(possible))
        return tuple(found)

    def table_entries(self) -> Iterator[tuple[Layer, Shape]]:
        """Every distinct (layer, input shape) that some arch of the space contains: the rows of a latency table."""
        yield from dict.fromkeys(step for walks in self.walks for steps in walks.values for step in steps)

    def cost(self, price: Callable[[Layer, Shape], float], fixed: float = 0.0) -> AdditiveCost:
        """The sum of `price(layer, input shape)` over the layers of an arch, plus `fixed`, compiled to arrays."""
        return self.compiled(AdditiveCost, price, fixed)

    def peak(self, price: Callable[[Layer, Shape], float]) -> PeakCost:
        """The largest `price(layer, input shape)` of the layers of an arch, compiled to arrays."""
        return self.compiled(PeakCost, price, 0.0)

    def compiled(self, kind: type[CostKind], price: Callable[[Layer, Shape], float], fixed: float) -> CostKind:
        """`fixed` and `price(layer, input shape)` of the layers of an arch joined as `kind` joins, as arrays."""
        known: dict[tuple[Layer, Shape], float] = {}
        variables: list[tuple[int, ...]] = []
        tables: list[Floats] = []
        for term, walks in zip(self.terms, self.walks, strict=True):
            values = []
            for steps in walks.values:
                for step in steps:
                    if step not in known:
                        known[step] = float(price(*step))
                values.append(kind.joined([known[step] for step in steps]))
            table = np.array([*values, math.inf])[walks.numbers]
            if term.variables:
                variables.append(term.variables)
                tables.append(table)
            else:
                fixed = kind.joined([fixed, float(table)])
        return kind(fixed, tuple(variables), tuple(tables), tuple(len(v) for v in self.variables))

    def count(self, what: Count) -> AdditiveCost:
        """`decode(g).cost.<what>` of every genotype g, compiled to arrays: a number for one image."""
        return self.cost(lambda layer, shape: getattr(layer.cost(shape), what))

    def memory_kib(self, counted: Counted) -> PeakCost:
        """`decode(g).memory_kib(counted)` of every genotype g, compiled to arrays."""
        return self.peak(lambda layer, shape: counted.activations_kib(layer.peak(shape, counted.in_place)))

    def weights_kib(self, counted: Counted) -> AdditiveCost:
        """`decode(g).weights_kib(counted)` of every genotype g, compiled to arrays."""
        return self.cost(lambda layer, shape: counted.weights_kib(*layer.stored(shape)))

    def possible(self, term: Term) -> NDArray[np.bool_] | None:
        """Which genes of `term` some arch has, an axis per variable; None: all. Others have no row, cost infinity."""
        return None

    def _choices(self, term: Term) -> Iterator[Genotype]:
        return itertools.product(*(range(len(self.variables[v])) for v in term.variables))

    @property
    def cardinalities(self) -> NDArray[np.int64]:
        """Number of choices per variable."""
        return np.array([len(variable) for variable in self.variables], dtype=np.int64)

    @property
    def size(self) -> int:
        """Number of genotypes."""
        return math.prod(len(variable) for variable in self.variables)

    def check(self, genotype: Sequence[int]) -> Genotype:
        """`genotype` as a tuple of ints. Raises `ValueError` naming the first gene out of range."""
        genes = tuple(int(gene) for gene in genotype)
        if len(genes) != len(self.variables):
            raise ValueError(f"a genotype of {self.name} has {len(self.variables)} genes, got {len(genes)}")
        for gene, variable in zip(genes, self.variables, strict=True):
            if not 0 <= gene < len(variable):
                raise ValueError(f"{variable.name} has choices 0..{len(variable) - 1}, got {gene}")
        return genes

    def sample(self, count: int, rng: np.random.Generator) -> Population:
        """`count` genotypes drawn uniformly: `(count, variables)`."""
        return rng.integers(0, self.cardinalities, size=(count, len(self.variables)), dtype=np.int64)

    def mutate(self, population: Population, rng: np.random.Generator, rate: float) -> Population:
        """A copy in which each gene, with probability `rate`, moved to another of its choices, uniformly."""
        cardinalities = self.cardinalities
        shift = rng.integers(1, np.maximum(cardinalities, 2), size=population.shape)
        moved = (population + shift) % cardinalities
        return np.where(rng.random(population.shape) < rate, moved, population)


@dataclass(frozen=True)
class Position:
    """A searched place of a layer-wise space: its name, its candidates, and the shape that reaches it."""

    name: str
    candidates: tuple[Layer, ...]
    shape: Shape

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(layer.label for layer in self.candidates)


class LayerwiseSpace(SearchSpace):
    """A fixed skeleton whose slots each hold one of several candidate layers of equal output shape.

    `slots[stage][i]` is a tuple of candidates; slots with a single candidate are fixed. Every cost that is a sum over
    layers is, on such a space, a constant plus one number per position and candidate: `AdditiveCost.rows`. Raises
    `ValueError`, naming stage and layer, for a slot without candidates, with one listed twice, or with candidates that
    disagree on the shape.
    """

    def __init__(
        self,
        name: str,
        resolution: Pixels,
        slots: Sequence[Sequence[Sequence[Layer]]],
        in_channels: int = 3,
    ) -> None:
        self.name = name
        self.slots = tuple(tuple(tuple(slot) for slot in stage) for stage in slots)
        for number, stage in enumerate(self.slots):
            if not all(stage):
                raise ValueError(f"{name}: stage {number} has a layer without candidates; list at least one")
        first = tuple(tuple(slot[0] for slot in stage) for stage in self.slots)
        self.skeleton = Arch(canonical(resolution), first, in_channels)
        positions = []
        for s, (stage, walked) in enumerate(zip(self.slots, self.skeleton.walk_stages(), strict=True)):
            for i, (slot, (layer, shape)) in enumerate(zip(stage, walked, strict=True)):
                for other in slot[1:]:
                    if other.out_shape(shape) != layer.out_shape(shape):
                        raise ValueError(
                            f"{name}: stage {s}, layer {i}: candidates {layer.label!r} and {other.label!r} disagree on "
                            f"the output shape ({layer.out_shape(shape)} and {other.out_shape(shape)}); give them the "
                            "same out_channels and stride"
                        )
                if len(set(slot)) != len(slot):
                    raise ValueError(f"{name}: stage {s}, layer {i} lists the same candidate twice")
                if len(slot) > 1:
                    positions.append(Position(f"stage{s}.{i}", slot, shape))
        self.positions = tuple(positions)

    @cached_property
    def _variables(self) -> tuple[Variable, ...]:
        return tuple(Variable(position.name, position.labels) for position in self.positions)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    def decode(self, genotype: Sequence[int]) -> Arch:
        genes = iter(self.check(genotype))
        stages = tuple(tuple(slot[next(genes)] if len(slot) > 1 else slot[0] for slot in stage) for stage in self.slots)
        return dataclasses.replace(self.skeleton, stages=stages)

    def encode(self, arch: Arch) -> Genotype:
        mine, theirs = self.skeleton, arch
        if (mine.resolution, mine.in_channels) != (theirs.resolution, theirs.in_channels):
            raise ValueError(
                f"arch {arch.id} takes {theirs.in_channels}x{theirs.resolution}px images, {self.name} has "
                f"{mine.in_channels}x{mine.resolution}px"
            )
        lengths, wanted = [len(s) for s in theirs.stages], [len(s) for s in self.slots]
        if lengths != wanted:
            raise ValueError(f"arch {arch.id} has stages of {lengths} layers, {self.name} has {wanted}")
        genes = []
        for s, (slots, stage) in enumerate(zip(self.slots, arch.stages, strict=True)):
            for i, (slot, layer) in enumerate(zip(slots, stage, strict=True)):
                if layer not in slot:
                    raise ValueError(f"arch {arch.id} is not in {self.name}: stage {s}, layer {i} cannot be {layer}")
                if len(slot) > 1:
                    genes.append(slot.index(layer))
        return tuple(genes)

    def fixed(self) -> Iterator[tuple[Layer, Shape]]:
        """The layers that are the same in every arch, with their input shapes."""
        for term in self.terms:
            if not term.variables:
                yield from term.walk(())

    @cached_property
    def _terms(self) -> tuple[Term, ...]:
        terms, gene = [], 0
        for s, (slots, walked) in enumerate(zip(self.slots, self.skeleton.walk_stages(), strict=True)):
            for slot, (_, shape) in zip(slots, walked, strict=True):
                searched = len(slot) > 1
                terms.append(_slot_term(s, slot, shape, (gene,) if searched else ()))
                gene += searched
        return tuple(terms)

    @property
    def terms(self) -> tuple[Term, ...]:
        return self._terms


def _slot_term(stage: int, slot: tuple[Layer, ...], shape: Shape, variables: tuple[int, ...]) -> Term:
    return Term(stage, variables, lambda genes: (slot[genes[0] if genes else 0],), lambda genes: shape)
