"""Settings that had another name before: the old one keeps working, and its use says the present one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from nas.terminal.progress import log

GROUPS = {"engine": "executor"}  # of cards
RENAMED: Mapping[str, Mapping[str, str]] = {  # of each command: old key, present one
    "search": {**GROUPS, "derive.how": "derive.mode"},
    "derive": {**GROUPS, "how": "mode"},
}
_OVERRIDE = re.compile(r"(?P<sign>\+{0,2}|~)(?P<key>[A-Za-z_][\w.]*)(?P<rest>=.*|)", re.DOTALL)


def present_key(command: str, key: str) -> str:
    """What `key` of `command`, or the group that it is in, is called now; a line says so where it has another name."""
    for old, now in RENAMED.get(command, {}).items():
        if key == old or key.startswith(f"{old}."):
            found = now + key.removeprefix(old)
            _say(key, found)
            return found
    return key


def present_words(command: str, words: Sequence[str]) -> list[str]:
    """The words of a command line, its overrides under their present keys."""
    return [_OVERRIDE.sub(lambda match: _present(command, match), word, count=1) for word in words]


def move_renamed(cfg: DictConfig, command: str) -> None:
    """Bring what a card of the user's own, such as an experiment, gives under an old key to the present one."""
    for old, now in RENAMED.get(command, {}).items():
        above, _, name = old.rpartition(".")
        group = OmegaConf.select(cfg, above) if above else cfg
        if isinstance(group, DictConfig) and name in group:
            _say(old, now)
            with open_dict(group):
                OmegaConf.update(cfg, now, group.pop(name), merge=True, force_add=True)


def present_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The stored configuration of a search under the present keys, without a word: it was typed long ago."""
    found = dict(config)
    for old, now in RENAMED["search"].items():
        *above, name = old.split(".")
        group = found
        for part in above:
            group[part] = group = dict(group.get(part) or {})
        if name in group:
            group[now.rpartition(".")[2]] = group.pop(name)
    return found


def check_groups(folders: Sequence[Path]) -> None:
    """Refuse the user's own cards of a group that is called otherwise now: Hydra would not find them."""
    for folder in folders:
        for old, now in GROUPS.items():
            if (folder / old).is_dir():
                raise ValueError(f"the cards of {folder / old} are found under {now}= now; rename it {folder / now}")


def _say(old: str, now: str) -> None:
    log(f"NOTE: the setting {old} is called {now} now; the old name keeps working")


def _present(command: str, match: re.Match[str]) -> str:
    return f"{match['sign']}{present_key(command, match['key'])}{match['rest']}"
