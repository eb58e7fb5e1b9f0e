"""Configurations as Hydra composes them from `conf/` and overrides, and questions about them."""

from __future__ import annotations

import contextlib
import difflib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig, OmegaConf

from nas.terminal.configuration.arguments import card_folders, split
from nas.terminal.configuration.override_text import value_text
from nas.terminal.configuration.plain_yaml import read_yaml

CONF = Path(__file__).resolve().parents[3] / "conf"  # by its place: a user's own folder may be called conf, too
COMPOSING = threading.Lock()
LIKE = 0.55  # of last parts of keys (difflib's ratio) from which one may be meant by the other


def settings(arguments: list[str]) -> list[str]:
    """The overrides among `arguments`; folders of own cards become Hydra's setting for them."""
    found = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    found += [f"hydra.searchpath={value_text([str(folder.absolute())])}" for folder in card_folders(arguments)]
    return found


def own_method(config_name: str, arguments: list[str]) -> list[str]:
    """`arguments` of a search, with the method that the card of the given space names where none is given.

    `arch=` leaves only recipes to search, which is the predictor's. An experiment knows its own, and so does a run that
    is continued or derived from, apart from code of the user's own, which is named again with its space. Raises
    `ValueError` where several spaces of different methods are given at once, and for `space.method`: only cards say it.
    """
    given = {split(text)[0]: text.partition("=")[2].strip() for text in settings(arguments)}
    if "space.method" in given:
        raise ValueError(
            f"space.method={given['space.method']} changes nothing: it is what the card of a space names; the method "
            "of a search is method=..."
        )
    is_known = config_name == "derive" or "resume" in given
    if config_name not in ("search", "derive") or {"method", "experiment"} & set(given):
        return arguments
    if given.get("arch", "null") != "null" and not is_known:
        return [*arguments, "method=predictor"]
    if "space" not in given:
        return arguments
    folders = card_folders(arguments)
    found = set()
    for space in given["space"].split(","):
        files = [folder / "space" / f"{space.strip()}.yaml" for folder in [*folders, CONF]]
        card = next((file for file in files if file.exists()), None)
        values = _read(card) if card else None
        found.add(values.get("method") if isinstance(values, dict) else None)
    if len(found) > 1:
        raise ValueError(f"the spaces {given['space']} have different methods of their own; give one: method=...")
    (method,) = found
    if is_known and not any((folder / "method" / f"{method}.yaml").exists() for folder in folders):
        return arguments
    return [*arguments, f"method={method}"] if method else arguments


def _read(card: Path) -> Any:
    try:
        return read_yaml(card.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"the card {card} cannot be read: {error}") from None


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    overrides = own_method(config_name, overrides)
    with _hydra_alone(), hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return hydra.compose(config_name=config_name, overrides=overrides)


@contextlib.contextmanager
def _hydra_alone() -> Iterator[None]:
    """Hydra, which begins once a process, for this thread; a program that began it itself has it back afterwards."""
    with COMPOSING:
        theirs, job = GlobalHydra.instance().hydra, JobRuntime.instance().get("name")
        GlobalHydra.instance().clear()
        try:
            yield
        finally:
            GlobalHydra.instance().hydra = theirs
            JobRuntime.instance().set("name", job)  # which names the logs of a program's further jobs


def card_values(name: str) -> dict[str, Any]:
    """What the card `conf/<name>.yaml` says, as it is written; `card_values("method/dnas")`."""
    values: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return values


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in node:
            value = node._get_node(key)
            if key == "_target_":
                yield str(node[key])
            elif OmegaConf.is_config(value):
                yield from targets(value)


def keys(node: DictConfig, prefix: str = "") -> list[str]:
    names: list[str] = []
    for key in node:
        if str(key) in ("_target_", "hydra"):
            continue
        names.append(f"{prefix}{key!s}")
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            names += keys(child, f"{prefix}{key!s}.")
    return names


def nearest(word: str, options: list[str]) -> str:
    """The options most like `word`, as a sentence: those of a like last part, the least nested first among equals."""
    tail = word.rpartition(".")[2]
    by_tail: dict[str, str] = {}
    for option in sorted(options, key=lambda option: option.count(".")):
        by_tail.setdefault(option.rpartition(".")[2], option)
    near = [
        option
        for option in difflib.get_close_matches(word, options, n=3, cutoff=0.6)
        if difflib.SequenceMatcher(None, tail, option.rpartition(".")[2]).ratio() >= LIKE
    ]
    near += [by_tail[found] for found in difflib.get_close_matches(tail, list(by_tail), n=3)]
    near = list(dict.fromkeys(near))
    if near:
        return f"did you mean {' or '.join(near[:3])}?"
    parent = word.rpartition(".")[0]
    inside = [option for option in options if option.rpartition(".")[0] == parent] or [
        option for option in options if "." not in option
    ]
    return f"the keys here are {', '.join(inside)}"
