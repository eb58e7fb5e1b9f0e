"""What a card of each group makes, and where in a configuration a card may stand at all.

A `_target_` names code. It stands at the head of a card that this file lists, or of a card inside one; settings beside
the cards (`budget`, `search`, ...) and the fields of plain cards (a recipe, a device) are values.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Role:
    """What is made by the cards of a group: instances of one of `kinds`, dotted names, or things that can do one of
    `deeds`.

    `holds_cards`: its values may be cards again.
    """

    what: str
    kinds: tuple[str, ...] = ()
    deeds: tuple[str, ...] = ()
    holds_cards: bool = True


DEVICES = ("nas.latency.devices.base.TargetDevice", "nas.latency.device.Device")  # the latter: this machine
ROLES = {
    "space": Role("a search space (search_spaces.space.SearchSpace)", ("search_spaces.space.SearchSpace",)),
    "method": Role("a method, which has search(task) or start(...)", deeds=("search", "start")),
    "predictor": Role("a predictor card, which has build(...)", deeds=("build",)),
    "executor": Role("an executor, which has open(work)", deeds=("open",)),
    "data": Role("a data set (nas.data.ImageData)", ("nas.data.images.ImageData",)),
    "device": Role("a device (nas.latency.devices.TargetDevice)", DEVICES, holds_cards=False),
    "recipe": Role("a recipe (search_spaces.recipe.Recipe)", ("search_spaces.recipe.Recipe",), holds_cards=False),
    "recipe_space": Role("a space of recipes", ("search_spaces.recipe_space.RecipeSpace",), holds_cards=False),
    "pretraining": Role(
        "a pretraining of supernets (nas.methods.elastic.settings.Pretraining)",
        ("nas.methods.elastic.settings.Pretraining",),
    ),
    "effort": Role("an effort (nas.latency.effort.Effort)", ("nas.latency.effort.Effort",), holds_cards=False),
}


def check_places(config: Mapping[str, Any], where: str = "") -> None:
    """Raise `ValueError` for a `_target_` in `config` where no card may stand, and for something else where one must.

    `where` begins the message.
    """
    for key, value in config.items():
        role = ROLES.get(key)
        if role is not None and value is not None and not isinstance(value, Mapping):
            raise ValueError(f"{where}{key} is {value!r}, not a card")
        for place in _places(value, key):
            if role is None or (place != key and not role.holds_cards):
                raise ValueError(
                    f"{where}{place}._target_ names code where there can be none; {key} holds plain values"
                )


def _places(value: Any, name: str) -> list[str]:
    """The names of all mappings in `value` that hold a `_target_`."""
    if isinstance(value, Mapping):
        found = [name] if "_target_" in value else []
        return found + [place for key, inner in value.items() for place in _places(inner, f"{name}.{key}")]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [place for i, inner in enumerate(value) for place in _places(inner, f"{name}[{i}]")]
    return []


def check_target(name: str, target: Callable[..., Any], path: str) -> None:
    """Refuse, before it is called, a target that says of itself that it makes something else than `name` needs."""
    role = _role(name)
    if role is None:
        return
    makes = target if inspect.isclass(target) else _returned(target)
    others = {kind.rpartition(".")[2] for other in ROLES.values() if other is not role for kind in other.kinds}
    if makes in others or (inspect.isclass(makes) and not _fits(makes, role)):
        raise ValueError(f"{name}._target_={path} makes no {role.what.partition(' ')[2]}; name one that does")


def check_made(name: str, found: Any, path: str) -> None:
    """Refuse what a card made where it is not what `name` needs."""
    role = _role(name)
    if role is not None and not _fits(type(found), role):
        kind = type(found).__name__
        raise ValueError(f"{name}._target_={path} must make {role.what}, but it made {kind}; name one that does")


def check_given(name: str, found: Any) -> None:
    """Refuse an object that a program gave for the card `name` where it is not what is needed."""
    role = _role(name)
    if role is not None and not _fits(type(found), role):
        raise ValueError(f"{name} must be {role.what}, got {type(found).__name__}")


def _role(name: str) -> Role | None:
    return ROLES["predictor"] if name == "method.predictor" else ROLES.get(name)


def _fits(made: type, role: Role) -> bool:
    if role.kinds:
        paths = (kind.rpartition(".") for kind in role.kinds)
        return issubclass(made, tuple(getattr(importlib.import_module(module), name) for module, _, name in paths))
    return any(callable(getattr(made, deed, None)) for deed in role.deeds)


def _returned(function: Callable[..., Any]) -> type | str | None:
    """The class that a function is annotated to return, or its name where only type checkers import it; else None."""
    try:
        found = get_type_hints(function).get("return")
    except (NameError, TypeError):
        found = getattr(function, "__annotations__", {}).get("return")
        return found if isinstance(found, str) else None
    return found if inspect.isclass(found) else None
