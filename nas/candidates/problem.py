"""The problem of a search: its data, the space of its candidates, and the training of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nas.candidates.training_job import Order
from nas.data import ImageData
from nas.data.card import data_of
from nas.data.space import build_space
from nas.networks.creation import resolve
from nas.terminal.configuration import cards
from search_spaces.joint import JointSpace, single
from search_spaces.recipe import Recipe
from search_spaces.space import Genotype


def problem_of(config: Mapping[str, Any], recipe: Recipe) -> tuple[ImageData, JointSpace]:
    """The data of a search and the space of its candidates, from its resolved configuration.

    With `arch` (a file, a model folder or a published name) only recipes are searched, for that network fitted to the
    data. Raises `ValueError` where nothing is left to search.
    """
    recipes = cards.build(config["recipe_space"], "recipe_space", {"base": recipe})
    if config["arch"]:
        given = resolve(config["arch"]).arch
        data = data_of(config["data"], given.resolution)
        if not recipes.variables:
            raise ValueError("arch= leaves only recipes to search; give a recipe_space, such as small_images")
        fit = dataclasses.replace(given, resolution=data.resolution, in_channels=data.in_channels)
        return data, JointSpace(single(fit.with_classes(data.num_classes)), recipes)
    resolution = config["space"].get("resolution") or config["data"].get("resolution")
    data = data_of({**config["data"], "resolution": resolution})
    return data, JointSpace(build_space(config["space"], data), recipes)


def order_maker(config: Mapping[str, Any], space: JointSpace, data: ImageData) -> Callable[[str, Genotype], Order]:
    """From a candidate (id, genotype) to the order that trains it on `data`."""

    def make(candidate: str, genotype: Genotype) -> Order:
        return Order(
            arch=space.decode(genotype).to_dict(),
            recipe=space.recipe(genotype).to_dict(),
            data=dict(config["data"]),
            fingerprint=data.fingerprint,
            validation_fraction=config["search"]["validation_fraction"],
            seed=config["seed"],
            candidate=candidate,
            accelerator=config["accelerator"],
            precision=config["precision"],
        )

    return make
