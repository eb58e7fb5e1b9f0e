"""What is searched: a space of archs and recipes, on data."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.data import ImageData
from nas.data.card import DataSource
from nas.data.files.known_images import KnownImages
from nas.data.files.stamp import stamp
from nas.data.space import build_space, resolution_of
from nas.networks.creation import resolve
from nas.terminal.configuration import cards
from search_spaces.recipe import Recipe
from search_spaces.wrappers.joint import JointSpace, single


@dataclass(frozen=True)
class Problem:
    """The `space` of candidates and the `data` they are judged on, which `source` has at other resolutions too.

    `began`: the stamp of the files of `source` just before `data` were read; None: nobody looked.
    """

    space: JointSpace
    data: ImageData
    source: DataSource
    began: str | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], recipe: Recipe) -> Problem:
        """The problem of a search's resolved configuration.

        With `arch` (a file, a model folder or a published name) only recipes are searched, for that network fitted to
        the data. Raises `ValueError` where nothing is left to search.
        """
        recipes = cards.given(config.get("recipe_space"), "recipe_space", {"base": recipe})
        source = DataSource(config["data"])
        began = stamp(source.card) if isinstance(source.card, Mapping) else None
        if config.get("arch"):
            given = resolve(config["arch"]).arch
            data = source.load(given.resolution)
            if not recipes.variables:
                raise ValueError("arch= leaves only recipes to search; give a recipe_space, such as small_images")
            fit = dataclasses.replace(given, resolution=data.resolution, in_channels=data.in_channels)
            return cls(JointSpace(single(fit.with_classes(data.num_classes)), recipes), data, source, began)
        data = source.at(resolution_of(config["space"]) or source.resolution)
        return cls(JointSpace(build_space(config["space"], data), recipes), data, source, began)

    @functools.cached_property
    def images(self) -> KnownImages:
        """The data, and whether its files have it still, for jobs that read them anew."""
        return KnownImages(self.source, self.data, self.began)
