"""Settings for the command a user types next, so that, pasted, it uses the data and the recipe at hand."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.terminal.configuration import cards
from nas.terminal.configuration.arguments import card_folders, folder_flags, own_cards, reaching
from nas.terminal.configuration.composition import CONF, card_values
from nas.terminal.configuration.override_text import command
from nas.terminal.configuration.plain_yaml import read_yaml
from search_spaces.recipe import Recipe


def train_command(arch: Path, data: Any, recipe: Recipe | None) -> str:
    """`next: ...`: the training of `arch` on the `data` of a search (its card, or a data set), by `recipe`."""
    words = [command("train", {"arch": str(arch)}), data_settings(data)]
    return " ".join(filter(None, ["next:", *words, recipe_settings(recipe) if recipe else ""]))


def derive_command(run: Path, settings: Mapping[str, Any]) -> str:
    """`next: ...`: another derivation of `run`, with the cards of the user's own that its search was given."""
    arguments = sys.argv[1:]
    own = [f"+{word}" if "._target_=" in word else word for word in own_cards(arguments)]
    words = command("derive", {"run": str(run), **settings}, folder_flags(arguments))
    device = [word for word in reaching(arguments) if word not in own]
    return " ".join(filter(None, ["next:", words, shlex.join([*own, *device])]))


def data_settings(card: Any) -> str:
    """`data=...` and what differs from that card, for a configuration's resolved `data`; a data set has no card."""
    if not isinstance(card, Mapping):
        return ""
    folders = card_folders(sys.argv[1:])
    for folder in (CONF, *folders):
        for file in sorted((folder / "data").glob("*.yaml")):
            known = read_yaml(file.read_text(encoding="utf-8"))
            if isinstance(known, dict) and known.get("_target_") == card["_target_"]:
                settings = {f"data.{key}": value for key, value in card.items() if known.get(key) != value}
                flags = [] if folder == CONF else ["--config-dir", str(folder)]
                return command(None, {"data": file.stem, **settings}, flags)
    return command(None, {"data": card["_target_"].rpartition(".")[2]})  # a card of the user's own, called alike


def recipe_settings(recipe: Recipe, card: str = "quick") -> str:
    """What differs in `recipe` from a recipe card, as settings; empty where nothing does."""
    known = cards.build(card_values(f"recipe/{card}"), "recipe", {})
    values = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    # ++: a card need not list every field
    return command(None, {f"++recipe.{name}": v for name, v in values.items() if getattr(known, name) != v})
