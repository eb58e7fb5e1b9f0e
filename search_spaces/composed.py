"""Spaces whose variables decide more than one layer: widths, depths, resolutions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.resolution import Resolution
from search_spaces.space import Genotype, SearchSpace, Steps, Term, Variable


class ComposedSpace(SearchSpace):
    """A space written down as terms alone; decoding, encoding, pricing and table rows follow from them.

    `resolution(genotype)`: input size. Several genotypes may decode to one arch (choices about blocks that are not
    there); `encode` gives one of them. Stages that have no layers are none of the arch.
    """

    def __init__(
        self,
        name: str,
        variables: Sequence[Variable],
        terms: Sequence[Term],
        resolution: Callable[[Genotype], Resolution],
        in_channels: int = 3,
    ) -> None:
        names = [variable.name for variable in variables]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"{name}: two variables are called {twice[0]!r}; give each a name of its own")
        stages = [term.stage for term in terms]
        if stages != sorted(stages) or set(stages) != set(range(len(set(stages)))):
            raise ValueError(f"{name}: terms must come in the order of their stages 0, 1, 2..., got stages {stages}")
        self.name = name
        self._variables, self._terms = tuple(variables), tuple(terms)
        self.resolution, self.in_channels = resolution, in_channels

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    @property
    def terms(self) -> tuple[Term, ...]:
        return self._terms

    @cached_property
    def runs(self) -> list[tuple[dict[Steps, int], list[int]]]:
        """Per term, the number of each run of layers that it can contribute, and how long these are."""
        found = []
        for walks in self.walks:
            by_run = {run: number for number, run in enumerate(walks.values)}
            found.append((by_run, sorted({len(run) for run in by_run})))
        return found

    def decode(self, genotype: Sequence[int]) -> Arch:
        genes = self.check(genotype)
        stages: dict[int, list[Layer]] = defaultdict(list)
        for term in self.terms:
            stages[term.stage] += term.layers(tuple(genes[v] for v in term.variables))
        return Arch(self.resolution(genes), tuple(tuple(stage) for stage in stages.values() if stage), self.in_channels)

    def encode(self, arch: Arch) -> Genotype:
        """A genotype that decodes to `arch`, found term by term with backtracking."""
        if arch.in_channels != self.in_channels or len(arch.stages) > self.terms[-1].stage + 1:
            raise ValueError(
                f"arch {arch.id} is not in {self.name}: it has {arch.in_channels} input channels and "
                f"{len(arch.stages)} stages, the space {self.in_channels} and {self.terms[-1].stage + 1}"
            )
        search = _Search(self, arch)
        found = search.match(0, (0, 0), {})
        if found is None:
            stage, layer = search.reached
            raise ValueError(f"arch {arch.id} is not in {self.name}: it fits no further than stage {stage}, {layer=}")
        return found


Place = tuple[int, int]  # stage of an arch, and how many of its layers are explained


class _Search:
    """The depth-first search of `encode` for genes that decode to `arch`."""

    def __init__(self, space: ComposedSpace, arch: Arch) -> None:
        self.space, self.arch = space, arch
        self.steps = [tuple(stage) for stage in arch.walk_stages()]
        self.reached = (0, 0)  # how far the attempts came
        # what a term and those behind it still ask about
        self.later: list[frozenset[int]] = [frozenset()]
        for term in reversed(space.terms):
            self.later.append(self.later[-1] | frozenset(term.variables))
        self.later.reverse()
        self.dead: set[tuple[int, Place, tuple[tuple[int, int], ...]]] = set()  # starts that lead nowhere

    def match(self, index: int, place: Place, known: dict[int, int]) -> Genotype | None:
        """Genes that continue `known` from term `index`, the layers before `place` being explained already."""
        space, terms = self.space, self.space.terms
        if index == len(terms):
            if place != (len(self.steps), 0):
                return None
            genes = tuple(known.get(v, 0) for v in range(len(space.variables)))
            return genes if space.decode(genes) == self.arch else None
        start = (index, place, tuple(sorted((v, g) for v, g in known.items() if v in self.later[index])))
        if start in self.dead:
            return None
        walks, variables = space.walks[index], terms[index].variables
        open_variables = [v for v in variables if v not in known]
        numbers = walks.numbers[tuple(known.get(v, slice(None)) for v in variables)]
        last = index + 1 == len(terms) or terms[index + 1].stage != terms[index].stage
        asked = [i for i, v in enumerate(open_variables) if v in self.later[index + 1]]
        tried: set[tuple[int, ...]] = set()
        for chosen in np.argwhere(np.isin(numbers, self._fitting(index, place))).tolist():
            number = int(numbers[tuple(chosen)])
            attempt = (number, *(chosen[i] for i in asked))
            there = None if attempt in tried else self._behind(walks.values[number], place, last)
            tried.add(attempt)
            if there is None:
                continue
            answer = self.match(index + 1, there, {**known, **dict(zip(open_variables, chosen, strict=True))})
            if answer is not None:
                return answer
        self.dead.add(start)
        return None

    def _fitting(self, index: int, place: Place) -> list[int]:
        """The numbers of the runs of term `index` that the arch has from `place` on."""
        stage, layer = place
        ahead = self.steps[stage][layer:] if stage < len(self.steps) else ()
        by_run, lengths = self.space.runs[index]
        return [by_run[ahead[:length]] for length in lengths if ahead[:length] in by_run and length <= len(ahead)]

    def _behind(self, run: Steps, place: Place, last: bool) -> Place | None:
        """The place behind `run`, which ends its stage where it is the `last` of it; None where it cannot."""
        stage, layer = place[0], place[1] + len(run)
        self.reached = max(self.reached, (stage, layer))
        if last and layer:
            return (stage + 1, 0) if layer == len(self.steps[stage]) else None
        return stage, layer
