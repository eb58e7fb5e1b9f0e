"""The command line: from `group=card key=value` to plain objects, and from any mistake to one readable line.

Only the entry points and the files behind this one know Hydra. An entry point reads

    @entry("search")                      # conf/search.yaml, whose defaults begin with `- command`
    def main(cfg: DictConfig) -> None:
        space = instantiate(cfg.space)
        ...

and everything below it takes plain keyword arguments.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nas.runs.keeping import stopping
from nas.terminal import launch, thread_waits
from nas.terminal.command_help import show_help
from nas.terminal.configuration import cards
from nas.terminal.configuration.alternatives import check_alternatives
from nas.terminal.configuration.arguments import PATHS, card_folders, check_cards, ordered, split
from nas.terminal.configuration.card_roles import check_places
from nas.terminal.configuration.composition import CONF, keys, nearest, own_method, settings, targets
from nas.terminal.configuration.override_text import command as command_text
from nas.terminal.configuration.override_text import literal
from nas.terminal.error_lines import USER_ERROR, report
from nas.terminal.progress import log, silence
from nas.terminal.renamed_keys import check_groups, move_renamed, present_words
from nas.terminal.stored_config import plain_value, resumed, run_config, say_kept, without_cards
from search_spaces.plain_data.annotations import check_type

__all__ = [
    "DictConfig",
    "check_types",
    "checked",
    "entry",
    "instantiate",
    "plain",
    "run_config",
    "say_kept",
    "targets",
    "typed",
    "without_cards",
]

Command = Callable[[DictConfig], int | None]

OWN = ("nas", "predictors", "search_spaces")  # packages whose cards cost nothing to build, but for
CHECKED = ("recipe", "device", "method", "predictor", "executor", "effort", "pretraining", "data", "space")
LOADED = ("data", "space")  # which read files or count networks
NULLABLE = ("budget.fraction",)  # keys that have a default and may be null all the same
SWITCHED = ("references.train",)  # auto, or true or false


def entry(config_name: str) -> Callable[[Command], Callable[..., None]]:
    """Make a function of a `DictConfig` a command configured by `conf/<config_name>.yaml`.

    The command reads `sys.argv`, or the list of overrides it is called with. Bad input (`ValueError`, `OSError`, and
    every mistake in the overrides) ends it with one line on stderr and exit status 2, Ctrl-C with 130, SIGTERM with
    143, SIGUSR1 with 138 and SIGHUP with 129, all of them with the way to continue, a reader of its output that goes
    away with 141 where it has no run to continue, anything else is our bug: a traceback and status 1.
    `debug=true` always shows the traceback. What the function returns is the status of what went well (None: 0), of
    several runs the largest.
    """

    def decorate(function: Command) -> Callable[..., None]:
        @functools.wraps(function)
        def command(overrides: list[str] | None = None) -> None:
            arguments = sys.argv[1:] if overrides is None else list(overrides)
            debug = any(argument.replace(" ", "").lower() == "debug=true" for argument in arguments)
            _check_launch(config_name)
            thread_waits.spin_shortly()
            rank = launch.rank()
            if rank > 0:
                silence()
            try:
                with stopping.by_signals():
                    arguments = ordered(arguments)
                    check_cards(card_folders(arguments))
                    check_groups(card_folders(arguments))
                    arguments = own_method(config_name, present_words(config_name, arguments))
                    if {"-h", "--help"} & set(arguments):
                        show_help(config_name, function, settings(arguments))
                    else:
                        _run(config_name, function, arguments)
            except (Exception, KeyboardInterrupt) as error:
                launch.let_the_first_speak(rank)
                sys.exit(report(error, config_name, arguments, debug))

        return command

    return decorate


def _run(config_name: str, function: Command, arguments: list[str]) -> None:
    folders: set[Path] = set()  # of several runs
    statuses = [0]

    def task(cfg: DictConfig) -> None:
        try:
            prepared = _prepared(cfg, config_name)
            if HydraConfig.get().mode == RunMode.MULTIRUN and "run_dir" in prepared:
                folders.add(Path(prepared.run_dir).parent)
            status = function(prepared)
            statuses.append(status if isinstance(status, int) else 0)
        except Exception as error:
            # Hydra turns an exception of the task into lines of its own; only SystemExit and Ctrl-C pass it untouched.
            raise _Carrier(error) from None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, so that one place words them
    before, failure = sys.argv, None
    sys.argv = [f"nas.{config_name}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(task)()
    except _Carrier as carrier:
        failure = carrier.error
    finally:
        sys.argv = before
    if failure is not None:
        raise failure  # here, so that it keeps its own context
    if config_name == "search":
        for folder in sorted(folders):
            shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
            log(f"all runs on one page: {command_text('report', {'run': str(shown)})}")
    if max(statuses):
        raise SystemExit(max(statuses))


def _check_launch(config_name: str) -> None:
    """End a command that several processes were launched for and that runs in one, before it does anything."""
    refused = launch.refusal(config_name)
    if refused:
        print(f"error: {refused}", file=sys.stderr)
    if refused is not None:
        sys.exit(USER_ERROR)
    if note := launch.note():
        log(note)


class _Carrier(BaseException):
    """Carries a command's exception through Hydra."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


# -- what the overrides must obey


def _prepared(cfg: DictConfig, config_name: str) -> DictConfig:
    """`cfg` with its overrides checked; that of the earlier run where `resume=` names one."""
    if HydraConfig.get().mode == RunMode.MULTIRUN and "run_dir" in cfg and cfg.run_dir is None:
        cfg.run_dir = literal(HydraConfig.get().runtime.output_dir)
    overrides = [split(text) for text in HydraConfig.get().overrides.task]
    found = checked(cfg, config_name, overrides, HydraConfig.get().runtime.choices)
    check_types(found, {"debug": bool})
    _check_settings(found)
    return found


def _check_settings(cfg: DictConfig) -> None:
    """Find mistakes in our own cards before the libraries that compute are imported, which takes seconds."""
    for name in CHECKED:
        node = OmegaConf.select(cfg, name, default=None)
        if not isinstance(node, DictConfig):
            continue
        if (path := str(node.get("_target_"))).partition(".")[0] not in OWN:
            if name == "space":  # its module knows the kinds of blocks that tables and archs name
                cards.find_target(path, name)
            continue
        values = plain_value(node)
        if name in LOADED:
            open_keys = ("method", *(key for key, value in values.items() if value is None))
            cards.check({key: value for key, value in values.items() if key not in open_keys}, name)
            cards.resolution(values, name)
        else:
            cards.build(values, name, {})


def checked(
    cfg: DictConfig, config_name: str, overrides: list[tuple[str, bool | None]], choices: Collection[str]
) -> DictConfig:
    """`cfg` if what was given fits; that of the earlier run where `resume` names one.

    `overrides`: each key with whether it was added (`arguments.split`); `choices`: the keys that choose a card.
    """
    move_renamed(cfg, config_name)
    defaults = OmegaConf.load(CONF / f"{config_name}.yaml")
    for key, added in overrides:
        if key in choices or added is None:
            continue
        card = _card_above(cfg, key)
        if added and card is None:
            known = [name for name in keys(cfg) if name != key]
            raise ValueError(f"there is no key {key!r}; {nearest(key, known)}")
        if card is None:
            _check_value(cfg, key, OmegaConf.select(defaults, key))
    for key in ("run_dir", "resume"):  # a folder may be called 5
        if not isinstance(cfg.get(key), str | None):
            cfg[key] = str(cfg[key])
    for key in PATHS:
        value = OmegaConf.select(cfg, key, default=None)
        if isinstance(value, str) and value.startswith("~"):
            OmegaConf.update(cfg, key, literal(os.path.expanduser(value)))
    whole = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(whole, dict)
    check_places({str(key): value for key, value in whole.items()})
    check_alternatives(config_name, {key: OmegaConf.select(cfg, key) for key, _ in overrides if key not in choices})
    if cfg.get("resume"):
        return resumed(cfg, [key for key, _ in overrides], choices, config_name)
    return cfg


def _check_value(cfg: DictConfig, key: str, default: Any) -> None:
    """What was given for `key` must be of the kind that `default` is."""
    value = OmegaConf.select(cfg, key)
    if default is None or (key in NULLABLE and value is None) or (key in SWITCHED and isinstance(value, bool)):
        return
    if OmegaConf.is_dict(default):
        if not OmegaConf.is_dict(value):
            first = next(iter(default), "key")
            raise ValueError(f"{key} is a group of settings, got {value!r}; give one of them: {key}.{first}=...")
    elif not OmegaConf.is_config(default):
        _keep(cfg, key, check_type(value, type(default), key))


def _card_above(cfg: DictConfig, key: str) -> DictConfig | None:
    """The nearest node above `key` that is built from a `_target_` (such nodes check their own keys)."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        node = OmegaConf.select(cfg, ".".join(parts[:length]), throw_on_missing=False)
        if isinstance(node, DictConfig) and "_target_" in node:
            return node
    return None


# -- from cards to objects


def plain(cfg: DictConfig) -> dict[str, Any]:
    """`cfg` as plain Python values with everything resolved, to be stored with a run."""
    values = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def instantiate(card: DictConfig | dict[str, Any], **extra: Any) -> Any:
    """Call the card's `_target_` with the card's values and `extra` as keyword arguments.

    Values must fit the annotations of the target's signature (a whole number serves where a float is asked). Cards
    inside the card are built first. Raises `ValueError` naming the key, what it must be and what was given; an unknown
    key is answered with the keys there are.
    """
    name = str(card._get_full_key(None)) if isinstance(card, DictConfig) else ""
    return cards.build(plain_value(card), name, extra)


def typed(
    cfg: DictConfig, key: str, annotation: Any, minimum: float | None = None, maximum: float | None = None
) -> Any:
    """`cfg[key]`, which must fit `annotation` (`int`, `float | None`, `Literal[...]`) and lie within the bounds."""
    value = plain_value(OmegaConf.select(cfg, key, throw_on_missing=True))
    value = check_type(value, annotation, key)
    if value is not None and minimum is not None and value < minimum:
        raise ValueError(f"{key} must be at least {minimum:g}, got {value!r}")
    if value is not None and maximum is not None and value > maximum:
        raise ValueError(f"{key} must be at most {maximum:g}, got {value!r}")
    return value


def check_types(cfg: DictConfig, types: dict[str, Any]) -> None:
    """Check several keys: `check_types(cfg, {"seed": int, "budget.fraction": (float | None, 0, 1)})`.

    Each value is an annotation, or an annotation with the least and perhaps the largest value allowed.
    """
    for key, constraint in types.items():
        value = typed(cfg, key, *(constraint if isinstance(constraint, tuple) else (constraint,)))
        _keep(cfg, key, value)


def _keep(cfg: DictConfig, key: str, value: Any) -> None:
    """Store a number as what it was asked for: 4e6 is a whole number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        OmegaConf.update(cfg, key, value)
