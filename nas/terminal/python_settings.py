"""Settings that a program gives as keyword arguments, resolved as the command line resolves `key=value`.

A keyword is a key of the command's configuration (`conf/<command>.yaml`). For a group of cards its value is

* the name of a card: `space="fbnet"`;
* a mapping with settings of that card: `data={"card": "digits", "resolution": 8}` (without `card`: of the default one);
* a class or function, at the top level of a module, that makes the object: `space=tiny`, also as `card` in a mapping;
* the object itself: `space=tiny(16)`.

For any other group of settings it is a mapping: `search={"trials": 8}`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.terminal.configuration.card_roles import check_given
from nas.terminal.configuration.cards import PLAIN, parameters, target_path
from nas.terminal.configuration.composition import CONF, compose
from nas.terminal.configuration.override_text import literal, value_text
from nas.terminal.entry import check_types, checked, plain, run_config
from nas.terminal.error_lines import message
from nas.terminal.reached_devices import check_reached
from nas.terminal.renamed_keys import present_key, present_words

CARD = "card"  # the key of a card's name among its settings
FROM_DATA = ("resolution", "num_classes", "in_channels")


def resolved(command: str, keywords: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of `command` under `keywords`, checked; objects stand in it where they were given for cards.

    A keyword None is one not given. `overrides`: further settings as the command line has them, `["search.trials=8"]`.
    Raises `ValueError` for what the command line would refuse, in the same words.
    """
    given = {present_key(command, key): value for key, value in keywords.items() if value is not None}
    further: Sequence[str] = given.pop("overrides", ())
    objects: dict[str, Any] = {}
    words: list[str] = []
    for key, value in given.items():
        words += _words(key, value, objects)
    words = present_words(command, [*words, *further])
    try:
        cfg = compose(command, words)
        for key, value in objects.items():
            _put(cfg, key, value)
        keys = [(word.partition("=")[0].lstrip("+"), word.startswith("+")) for word in words]
        groups = [folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name in cfg]
        cfg = checked(cfg, command, [*keys, *((key, False) for key in objects)], groups)
        check_types(cfg, dict(types))
        config = plain(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(message(error, command, words)) from None
    return config | {key: value for key, value in objects.items() if not isinstance(value, PLAIN)}


def keys_given(keywords: Mapping[str, Any]) -> list[str]:
    """The keys of `keywords` that say something, those of their `overrides` among them."""
    further = [word.partition("=")[0].lstrip("+") for word in keywords.get("overrides") or ()]
    return [*(key for key, value in keywords.items() if value is not None), *further]


def _words(key: str, value: Any, objects: dict[str, Any]) -> Iterator[str]:
    """`value` as overrides of `key`; what no override can say goes to `objects`."""
    settings: Mapping[str, Any] = value if isinstance(value, Mapping) else {CARD: value}
    if not (CONF / key).is_dir():
        if hasattr(value, "to_json"):  # an arch
            objects[key] = value.to_json()
        elif isinstance(value, Mapping):
            yield from (f"{key}.{name}={_text(inner)}" for name, inner in value.items())
        elif callable(value) or dataclasses.is_dataclass(value):  # a network, what a function gave back
            raise ValueError(f"{key} must be a name, a path or another plain value, got {type(value).__name__}")
        else:
            yield f"{key}={_text(value)}"
        return
    card = settings.get(CARD)
    rest = {name: inner for name, inner in settings.items() if name != CARD}
    if isinstance(card, str):
        yield f"{key}={_text(card)}"
    elif card is not None:
        if not _is_definition(card):
            check_given(key, card)
        objects[key] = _card_of(key, card, rest) if _is_definition(card) else card
        if rest and not isinstance(objects[key], Mapping):
            raise ValueError(f"{key} is an object already, it takes no {', '.join(rest)}; give its class or function")
        return
    yield from (f"++{key}.{name}={_text(inner)}" for name, inner in rest.items())


def _is_definition(value: Any) -> bool:
    return isinstance(value, type) or hasattr(value, "__code__")


def _card_of(key: str, made_by: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The card that names a class or function, with the keys that the data decides left open."""
    path = target_path(made_by)
    if "<" in path:
        raise ValueError(f"{key}={path} is defined inside a function; define it at the top level of a module")
    open_keys = [name for name in FROM_DATA if name in parameters(made_by)] if key in ("space", "data") else []
    return {"_target_": path, **dict.fromkeys(open_keys), **settings}


def _put(cfg: DictConfig, key: str, value: Any) -> None:
    card = value if isinstance(value, PLAIN) else {"_target_": target_path(type(value))}
    OmegaConf.update(cfg, key, _literal(card), merge=False, force_add=True)


def _literal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _literal(inner) for name, inner in value.items()}
    return literal(value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    return value_text(str(value) if isinstance(value, Path) else value)


def stored_settings(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the run in `folder`, with the code that the cards of `given` name, or the objects in their place.

    Raises `ValueError` for code that is neither `given` nor named by a card of this installation.
    """
    known = {target for card in given.values() if not isinstance(card, PLAIN) for target in [target_path(type(card))]}
    known |= set(_targets(given))
    config = plain(run_config(str(folder), known=known))
    if given.get("device") is None and given.get("measure", True):
        check_reached(folder, config)
    return config | {key: card for key, card in given.items() if card is not None and not isinstance(card, PLAIN)}


def _targets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (str(value["_target_"]),) if "_target_" in value else ()
        for inner in value.values():
            yield from _targets(inner)
