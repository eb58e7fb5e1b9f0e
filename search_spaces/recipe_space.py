"""Recipe spaces: finite grids over the fields of a `Recipe`, around a base recipe that holds the rest."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.recipe import Recipe
from search_spaces.space import Genotype, Variable

MAX_CHOICES = 1000


@dataclass(frozen=True)
class RecipeSpace:
    """All recipes that agree with `base` except in the fields `variables` name; units are those of `Recipe`.

    A genotype is one index per variable. Every combination must be a valid recipe.
    """

    base: Recipe
    variables: tuple[Variable, ...]

    @property
    def size(self) -> int:
        """Number of recipes."""
        return math.prod(len(variable) for variable in self.variables)

    def decode(self, genotype: Sequence[int]) -> Recipe:
        """The recipe of `genotype`. Raises `ValueError` where it has another length or a gene out of range."""
        if len(genotype) != len(self.variables):
            raise ValueError(f"a genotype of this recipe space has {len(self.variables)} genes, got {len(genotype)}")
        values = {}
        for gene, variable in zip(genotype, self.variables, strict=True):
            if not 0 <= gene < len(variable):
                raise ValueError(f"{variable.name} has choices 0..{len(variable) - 1}, got {gene}")
            values[variable.name] = variable.choices[int(gene)]
        return dataclasses.replace(self.base, **values)

    def encode(self, recipe: Recipe) -> Genotype:
        """The genotype of `recipe`, the inverse of `decode`. Raises `ValueError` where it is not in the space."""
        searched = {variable.name for variable in self.variables}
        for field in dataclasses.fields(Recipe):
            mine, theirs = getattr(self.base, field.name), getattr(recipe, field.name)
            if field.name not in searched and mine != theirs:
                raise ValueError(f"the recipe's {field.name} is {theirs!r}; this recipe space fixes it at {mine!r}")
        genes = []
        for variable in self.variables:
            value = getattr(recipe, variable.name)
            if value not in variable.choices:
                options = ", ".join(str(choice) for choice in variable.choices)
                raise ValueError(f"the recipe's {variable.name} is {value!r}; this recipe space has {options}")
            genes.append(variable.choices.index(value))
        return tuple(genes)


def recipe_space(base: Recipe, **grids: Any) -> RecipeSpace:
    """The space of `grids` around `base`: for each searched field a list of values or `{low, high, step}`.

    Raises `ValueError` for an unknown field, a value no recipe can have, or a grid that is not one.
    """
    known = [field.name for field in dataclasses.fields(Recipe) if field.name not in ("batch_size", "milestones")]
    variables = []
    for name, grid in grids.items():
        if name not in known:
            raise ValueError(f"recipe_space.{name} cannot be searched; the fields are {', '.join(known)}")
        choices = _choices(name, grid)
        for choice in choices:
            try:
                dataclasses.replace(base, **{name: choice})
            except ValueError as error:
                raise ValueError(f"recipe_space.{name}: {error}") from None
        numbers = all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in choices)
        variables.append(Variable(name, choices, ordered=numbers))
    space = RecipeSpace(base, tuple(variables))
    _check_warmup(space)
    return space


def _choices(name: str, grid: Any) -> tuple[Any, ...]:
    if isinstance(grid, Mapping):
        if set(grid) != {"low", "high", "step"}:
            raise ValueError(f"recipe_space.{name} must be a list or {{low, high, step}}, got keys {sorted(grid)}")
        numbers = (grid["low"], grid["high"], grid["step"])
        if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
            raise ValueError(f"recipe_space.{name}: low, high and step must be numbers, got {numbers}")
        low, high, step = numbers
        if not (step > 0 and low <= high):
            raise ValueError(f"recipe_space.{name} needs low <= high and step > 0, got {low}, {high}, {step}")
        count = math.floor((high - low) / step + 1e-9) + 1
        if count > MAX_CHOICES:
            raise ValueError(
                f"recipe_space.{name} has {count} values, at most {MAX_CHOICES} are allowed; widen the step"
            )
        values = [low + i * step for i in range(count)]
        return tuple(v if isinstance(v, int) else float(f"{v:.12g}") for v in values)
    if isinstance(grid, str) or not isinstance(grid, Sequence) or not grid:
        raise ValueError(f"recipe_space.{name} must be a list of values or {{low, high, step}}, got {grid!r}")
    values = list(grid)
    if any(isinstance(a, bool) != isinstance(b, bool) or a == b for i, a in enumerate(values) for b in values[:i]):
        raise ValueError(f"recipe_space.{name} lists a value twice: {values}")
    return tuple(values)


def _check_warmup(space: RecipeSpace) -> None:
    """Epochs and warm-up are the two fields whose values depend on each other."""
    values = {
        name: next((v.choices for v in space.variables if v.name == name), (getattr(space.base, name),))
        for name in ("epochs", "warmup_epochs")
    }
    if None in values["warmup_epochs"]:  # a share of the epochs
        values["warmup_epochs"] = tuple(value for value in values["warmup_epochs"] if value is not None) or (0.0,)
    if max(values["warmup_epochs"]) >= min(values["epochs"]):
        raise ValueError(
            f"recipe_space: warmup_epochs {max(values['warmup_epochs'])} must stay below the fewest epochs "
            f"{min(values['epochs'])}"
        )
