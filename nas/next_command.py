"""Settings for the command a user types next, so that, pasted, it uses the data and the recipe at hand."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from nas import cards
from nas.composition import CONF
from search_spaces.recipe import Recipe


def train_command(arch: Path, config: Mapping[str, Any], recipe: Recipe | None) -> str:
    """`next: ...`: the training of `arch` on the data of a search, by `recipe`."""
    settings = [data_settings(config["data"]), recipe_settings(recipe) if recipe else ""]
    return " ".join(["next: python -m nas.train", shlex.quote(f"arch={arch}"), *filter(None, settings)])


def data_settings(card: Mapping[str, Any]) -> str:
    """`data=...` and what differs from that card, for a configuration's resolved `data`."""
    for file in sorted((CONF / "data").glob("*.yaml")):
        known = yaml.safe_load(file.read_text(encoding="utf-8"))
        if known["_target_"] == card["_target_"]:
            return _line([("data", file.stem)] + [(f"data.{k}", v) for k, v in card.items() if known.get(k) != v])
    return f"data={card['_target_'].rpartition('.')[2]}"  # a card of the user's own, called like its function


def recipe_settings(recipe: Recipe, card: str = "quick") -> str:
    """What differs in `recipe` from a recipe card, as settings; empty where nothing does."""
    known = cards.build(yaml.safe_load((CONF / "recipe" / f"{card}.yaml").read_text(encoding="utf-8")), "recipe", {})
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    # ++: a card need not list every field
    return _line([(f"++recipe.{name}", value) for name, value in values.items() if getattr(known, name) != value])


def _line(settings: list[tuple[str, Any]]) -> str:
    return " ".join(shlex.quote(f"{key}={_value(value)}") for key, value in settings)


def _value(value: Any) -> str:
    """`value` as Hydra reads it."""
    if isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value)
