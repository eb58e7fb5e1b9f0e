"""Configurations as Hydra composes them from `conf/` and overrides, and questions about them."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

import conf

CONF = Path(conf.__file__).parent


def settings(arguments: list[str]) -> list[str]:
    """The overrides among `arguments`; folders of own cards become Hydra's setting for them."""
    found = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    for flag, folder in itertools.pairwise(arguments):
        if flag in ("--config-dir", "-cd"):
            found.append(f"hydra.searchpath=['{Path(folder).absolute()}']")
    return found


def compose(config_name: str, overrides: list[str]) -> DictConfig:
    with hydra.initialize_config_module(version_base="1.3", config_module=conf.__name__):
        return hydra.compose(config_name=config_name, overrides=overrides)


def split(override: str) -> tuple[str, bool | None]:
    """The key of an override, and whether it is added (`+key=1`); None for a deletion (`~key`)."""
    key = override.partition("=")[0].strip()
    return key.lstrip("+~"), None if key.startswith("~") else key.startswith("+")


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
    """The options most like `word`, as a sentence."""
    by_tail = {option.rpartition(".")[2]: option for option in options}
    near = difflib.get_close_matches(word, options, n=3, cutoff=0.6)
    near += [by_tail[tail] for tail in difflib.get_close_matches(word.rpartition(".")[2], list(by_tail), n=3)]
    near = list(dict.fromkeys(near))
    if near:
        return f"did you mean {' or '.join(near[:3])}?"
    parent = word.rpartition(".")[0]
    inside = [option for option in options if option.rpartition(".")[0] == parent] or [
        option for option in options if "." not in option
    ]
    return f"the keys here are {', '.join(inside)}"
