"""Joint spaces: a candidate is an arch together with the recipe that trains it (FBNetV3, arXiv 2006.02049)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from search_spaces.arch import Arch
from search_spaces.blocks import Layer
from search_spaces.composed import ComposedSpace
from search_spaces.costs import Shape
from search_spaces.pricing.genotype_cost import CostKind
from search_spaces.pricing.tabulated import Tabulated
from search_spaces.recipe import Recipe
from search_spaces.recipe_space import RecipeSpace
from search_spaces.space import Genotype, SearchSpace, Term, Variable


class JointSpace(SearchSpace):
    """Archs of `architectures` times recipes of `recipes`; a genotype is the arch's genes, then the recipe's.

    It prices, samples and lists table rows as any space does; recipe genes cost nothing. `decode` gives the arch,
    `recipe` the recipe. With no recipe variables it is an architecture search, with `single(arch)` a recipe search.
    """

    def __init__(self, architectures: SearchSpace, recipes: RecipeSpace) -> None:
        self.name = architectures.name
        self.architectures, self.recipes = architectures, recipes
        self.interpolated = architectures.interpolated
        self.recipe_variables = len(recipes.variables)
        renamed = (Variable(f"recipe.{v.name}", v.choices, v.ordered) for v in recipes.variables)
        self._variables = (*architectures.variables, *renamed)

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    @property
    def terms(self) -> tuple[Term, ...]:
        return self.architectures.terms

    @property
    def walks(self) -> tuple[Tabulated, ...]:
        return self.architectures.walks

    def possible(self, term: Term) -> NDArray[np.bool_] | None:
        return self.architectures.possible(term)

    def compiled(self, kind: type[CostKind], price: Callable[[Layer, Shape], float], fixed: float) -> CostKind:
        found = self.architectures.compiled(kind, price, fixed)  # some spaces read their genes in another order
        return dataclasses.replace(found, cardinalities=tuple(len(variable) for variable in self.variables))

    def decode(self, genotype: Sequence[int]) -> Arch:
        return self.architectures.decode(self.check(genotype)[: self.arch_genes])

    def recipe(self, genotype: Sequence[int]) -> Recipe:
        """The recipe of `genotype`."""
        return self.recipes.decode(self.check(genotype)[self.arch_genes :])

    def encode(self, arch: Arch, recipe: Recipe | None = None) -> Genotype:
        """The genotype of `arch` with `recipe`, or with the base recipe where that is in the space."""
        recipe_genes = self.recipes.encode(self.recipes.base if recipe is None else recipe)
        return (*self.architectures.encode(arch), *recipe_genes)

    def candidate_id(self, genotype: Sequence[int]) -> str:
        """Short hash of arch and recipe: equal candidates have equal ids, whatever genotype describes them."""
        return self._id(genotype, self.recipe(genotype))

    def training_id(self, genotype: Sequence[int]) -> str:
        """As `candidate_id`, equal also where recipes differ only in settings that change nothing."""
        return self._id(genotype, self.recipe(genotype).acting)

    def _id(self, genotype: Sequence[int], recipe: Recipe) -> str:
        text = json.dumps(recipe.to_dict(), sort_keys=True)
        return hashlib.sha256(f"{self.decode(genotype).id} {text}".encode()).hexdigest()[:12]


def single(arch: Arch, name: str = "single") -> ComposedSpace:
    """The space of one network, without variables: what is left to search is how it is trained."""
    terms = [_fixed_term(s, steps[0][1], arch.stages[s]) for s, steps in enumerate(arch.walk_stages())]
    return ComposedSpace(name, (), terms, lambda genotype: arch.resolution, arch.in_channels)


def _fixed_term(stage: int, shape: Shape, layers: tuple[Layer, ...]) -> Term:
    return Term(stage, (), lambda genes: layers, lambda genes: shape)
