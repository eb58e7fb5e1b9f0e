"""The words of a command line before Hydra reads them: options in front, a home directory where `~` stands."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from nas.terminal.configuration.override_text import command, value_text
from nas.terminal.configuration.plain_yaml import read_yaml

FOLDER = ("--config-dir", "-cd")  # of own cards
VALUED = (*FOLDER, "-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name")
# Hydra's own; anything else that begins with a dash is a setting written as other programs have it
OPTIONS = {
    *VALUED,
    *("-h", "--help", "--hydra-help", "--version", "-m", "--multirun", "-r", "--run", "-i", "--info"),
    *("--resolve", "-sc", "--shell-completion", "--experimental-rerun"),
}
PATHS = (
    *("run", "run_dir", "resume", "arch", "checkpoint", "initial_weights", "tables", "kit", "file", "out", "output"),
    *("data_root", "data.root", "device.file", "to", "teacher", "teacher_weights", "search.supernet"),
)  # settings that are paths
ON_THE_DEVICE = ("device.python", "device.folder")  # paths whose `~` is the home directory of the machine that measures
REACHED = ("device.host", "device.port", "device.options", *ON_THE_DEVICE)  # what another machine is reached by
OUTSIDE = (
    "tables",
    "search.storage",
    "executor.address",
    "trackers",
    *REACHED,
)  # settings that reach beyond a run directory


def ordered(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the options in front, wherever they stood, and `~` in values spelt out.

    Raises `ValueError` for an option that Hydra does not have, or that lacks its value.
    """
    options: list[str] = []
    settings: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            settings.append(_at_home(word))
            continue
        _check_option(word)
        options.append(word)
        if word in VALUED:
            value = next(words, None)
            if value is None:
                raise ValueError(f"the option {word} needs a value: {word} ...")
            options.append(os.path.expanduser(value))
        elif word in ("-i", "--info"):
            options.append("all")
    return [*options, *settings]


def split(override: str) -> tuple[str, bool | None]:
    """The key of an override, and whether it is added (`+key=1`); None for a deletion (`~key`)."""
    key = override.partition("=")[0].strip()
    return key.lstrip("+~"), None if key.startswith("~") else key.startswith("+")


def card_folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of own cards that `arguments` give."""
    found = [Path(word) for flag, word in itertools.pairwise(arguments) if flag in FOLDER]
    parts = [word.partition("=") for word in arguments]  # --config-dir=FOLDER
    return found + [Path(folder) for flag, equals, folder in parts if flag in FOLDER and equals]


def folder_flags(arguments: Sequence[str]) -> list[str]:
    """The options that give those folders again."""
    return [word for folder in card_folders(arguments) for word in ("--config-dir", str(folder))]


def check_cards(folders: Sequence[Path]) -> None:
    """Refuse own cards that unfold to more than a card can be, before anything composes them."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"--config-dir {folder}: there is no such folder")
        for file in sorted([*folder.glob("*.yaml"), *folder.glob("*/*.yaml")]):
            try:
                read_yaml(file.read_text(encoding="utf-8"))
            except yaml.MarkedYAMLError:
                continue  # Hydra says so, if the card is asked for
            except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
                raise ValueError(f"the card {file} cannot be read: {error}") from None


def own_cards(arguments: Sequence[str]) -> list[str]:
    """The settings among `arguments` that name code of the user's own: a card of a given folder, or a `_target_`."""
    folders = card_folders(arguments)
    return [word for word in arguments if not word.startswith("-") and _is_own(word, folders)]


def resume_command(config_name: str, run: str, arguments: Sequence[str]) -> str:
    """How to continue `run`, which was begun by `arguments`: with what its directory does not do unasked."""
    own, device = own_cards(arguments), reaching(arguments)
    outside = [word for word in arguments if word.partition("=")[0] in OUTSIDE and word not in device]
    words = shlex.join([*own, *(word for word in device if word not in own), *outside])
    return " ".join(filter(None, [command(config_name, {"resume": run}, folder_flags(arguments)), words]))


def reaching(arguments: Sequence[str]) -> list[str]:
    """All settings of the device among `arguments`, where they reach another machine: they name it together."""
    keys = [word.partition("=")[0] for word in arguments]
    if not set(keys) & set(REACHED):
        return []
    return [word for key, word in zip(keys, arguments, strict=True) if key == "device" or key.startswith("device.")]


def _is_own(word: str, folders: Sequence[Path]) -> bool:
    key, _, value = word.partition("=")
    return key.endswith("._target_") or any((folder / key / f"{value}.yaml").is_file() for folder in folders)


def _check_option(word: str) -> None:
    name = word.partition("=")[0]
    if name not in OPTIONS:
        key = name.lstrip("-").replace("-", "_")
        raise ValueError(
            f"there is no option {name}; settings are written key=value, here {key}=... "
            "(options are --help, --multirun and those of --hydra-help)"
        )


def _at_home(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and value.startswith("~") and not key.startswith("~") and "," not in value:
        if key in ON_THE_DEVICE:
            return f"{key}={value_text(value)}"
        home = os.path.expanduser(value)
        return f"{key}={value_text(home)}" if home != value else word
    return word
