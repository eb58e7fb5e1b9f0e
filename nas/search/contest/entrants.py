"""Who takes part in a contest."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

from search_spaces.arch import Arch
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype


@dataclass(frozen=True)
class Entrant:
    """A network and the whole recipe it is trained by.

    `genotype`, `score`: of one that the search found, by which it was chosen; None of a reference. `inherit`: gives the
    weights that its training begins with, as safetensors (None: from scratch).
    """

    name: str
    arch: Arch
    recipe: Recipe
    genotype: Genotype | None = None
    score: float | None = None
    inherit: Callable[[], bytes] | None = None

    @property
    def is_found(self) -> bool:
        return self.genotype is not None

    @functools.cached_property
    def weights(self) -> bytes | None:
        return None if self.inherit is None else self.inherit()

    @functools.cached_property
    def key(self) -> str:
        """Of arch, recipe and the weights it begins with: equal trainings have equal keys, whatever they are called."""
        began = "" if self.weights is None else hashlib.sha256(self.weights).hexdigest()
        text = f"{self.arch.id} {json.dumps(self.recipe.to_dict(), sort_keys=True)} {began}"
        return hashlib.sha256(text.encode()).hexdigest()[:12]
