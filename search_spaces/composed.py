"""Spaces whose variables decide more than one layer: widths, depths, resolutions."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.space import Genotype, SearchSpace, Term, Variable


class ComposedSpace(SearchSpace):
    """A space written down as terms alone; decoding, encoding, pricing and table rows follow from them.

    `resolution(genotype)`: input pixels. Several genotypes may decode to one arch (choices about blocks that are not
    there); `encode` gives one of them.
    """

    def __init__(
        self,
        name: str,
        variables: Sequence[Variable],
        terms: Sequence[Term],
        resolution: Callable[[Genotype], int],
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

    def decode(self, genotype: Sequence[int]) -> Arch:
        genes = self.check(genotype)
        stages: dict[int, list[Layer]] = defaultdict(list)
        for term in self.terms:
            stages[term.stage] += term.layers(tuple(genes[v] for v in term.variables))
        return Arch(self.resolution(genes), tuple(tuple(stage) for stage in stages.values()), self.in_channels)

    def encode(self, arch: Arch) -> Genotype:
        """A genotype that decodes to `arch`, found term by term with backtracking."""
        if arch.in_channels != self.in_channels or len(arch.stages) != self.terms[-1].stage + 1:
            raise ValueError(
                f"arch {arch.id} is not in {self.name}: it has {arch.in_channels} input channels and "
                f"{len(arch.stages)} stages, the space {self.in_channels} and {self.terms[-1].stage + 1}"
            )
        search = _Search(self, arch)
        found = search.match(0, 0, {})
        if found is None:
            stage, layer = search.reached
            raise ValueError(f"arch {arch.id} is not in {self.name}: it fits no further than stage {stage}, {layer=}")
        return found


class _Search:
    """The depth-first search of `encode` for genes that decode to `arch`."""

    def __init__(self, space: ComposedSpace, arch: Arch) -> None:
        self.space, self.arch = space, arch
        self.shapes = [[shape for _, shape in stage] for stage in arch.walk_stages()]
        self.reached = (0, 0)  # how far the attempts came: stage, layers explained
        # what a term and those behind it still ask about
        self.later: list[frozenset[int]] = [frozenset()]
        for term in reversed(space.terms):
            self.later.append(self.later[-1] | frozenset(term.variables))
        self.later.reverse()
        self.dead: set[tuple[int, int, tuple[tuple[int, int], ...]]] = set()  # starts that lead nowhere

    def match(self, index: int, matched: int, known: dict[int, int]) -> Genotype | None:
        """Genes that continue `known` from term `index`, `matched` layers of whose stage are explained already."""
        space, terms = self.space, self.space.terms
        if index == len(terms):
            genes = tuple(known.get(v, 0) for v in range(len(space.variables)))
            return genes if space.decode(genes) == self.arch else None
        start = (index, matched, tuple(sorted((v, g) for v, g in known.items() if v in self.later[index])))
        if start in self.dead:
            return None
        term = terms[index]
        stage, shapes = self.arch.stages[term.stage], self.shapes[term.stage]
        last = index + 1 == len(terms) or terms[index + 1].stage != term.stage
        open_variables = [v for v in term.variables if v not in known]
        for genes in itertools.product(*(range(len(space.variables[v])) for v in open_variables)):
            trial = {**known, **dict(zip(open_variables, genes, strict=True))}
            own = tuple(trial[v] for v in term.variables)
            layers = term.layers(own)
            end = matched + len(layers)
            if stage[matched:end] != layers or (last and end != len(stage)):
                continue
            if layers and term.shape(own) != shapes[matched]:
                continue
            self.reached = max(self.reached, (term.stage, end))
            found = self.match(index + 1, 0 if last else end, trial)
            if found is not None:
                return found
        self.dead.add(start)
        return None
