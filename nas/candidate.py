"""Training one candidate of a search: the same result wherever and whenever it runs."""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from typing import Any

from nas import training
from nas.data.card import data_of
from nas.data.images import ImageData
from nas.engine import make_accelerator
from nas.seeding import derive_seed
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe


@dataclass(frozen=True)
class Order:
    """One training as plain data. `data`: a resolved data card; `validation_fraction` of its training images score the
    candidate and are not trained on (the same ones for all candidates of a `seed`); `accelerator`: auto, cpu, cuda.
    """

    arch: dict[str, Any]
    recipe: dict[str, Any]
    data: dict[str, Any]
    validation_fraction: float
    seed: int
    candidate: str
    accelerator: str
    precision: str


def train_candidate(order: Order) -> dict[str, Any]:
    """Train on the search's training images and evaluate on its validation images; the test split is not looked at.

    Returns `top1_percent, top5_percent, loss` (validation), `train_loss, train_seconds, epochs`. Seeded by the search
    and the candidate alone. Raises `ValueError` where the loss diverges.
    """
    arch, recipe = Arch.from_dict(order.arch), Recipe.from_dict(order.recipe)
    card = {**order.data, "resolution": arch.resolution}  # searched resolutions: the images follow the candidate
    data = _data(json.dumps(card), order.validation_fraction, order.seed)
    seed = derive_seed(order.seed, "candidate", order.candidate) % 2**31
    network = training.build_network(arch, recipe, seed=seed)
    accelerator = make_accelerator(order.accelerator, order.precision)
    figures = training.train(network, data, recipe, seed=seed, accelerator=accelerator, phase="candidate")
    return {**figures, "epochs": recipe.epochs}


def search_recipe(recipe: Recipe, epochs: int | None) -> Recipe:
    """`recipe` for the candidates of a search, `epochs` long where that is given (its own length otherwise)."""
    if epochs is None:
        return recipe
    warmup = min(recipe.warmup_epochs, epochs / 10) if recipe.warmup_epochs >= epochs else recipe.warmup_epochs
    if recipe.schedule == "multistep":
        raise ValueError("search.epochs cannot shorten a recipe of schedule multistep; set recipe.milestones for it")
    return dataclasses.replace(recipe, epochs=epochs, warmup_epochs=warmup)


@functools.lru_cache(maxsize=2)
def _data(card: str, fraction: float, seed: int) -> ImageData:
    return data_of(json.loads(card)).held_out(1 - fraction, seed)
