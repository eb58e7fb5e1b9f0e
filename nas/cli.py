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
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

import conf
from nas import cards
from nas.cards import check_type
from nas.command_help import show_help
from nas.composition import CONF, keys, nearest, own_method, settings, split, targets
from nas.mistakes import report
from nas.progress import log
from nas.runs import Run

Command = Callable[[DictConfig], int | None]

# Hydra's own; anything else that begins with a dash is a setting written as other programs have it
OPTIONS = {
    *("-h", "--help", "--hydra-help", "--version", "-m", "--multirun", "-r", "--run", "-c", "--cfg", "-i", "--info"),
    *("--resolve", "-p", "--package", "-sc", "--shell-completion", "--experimental-rerun"),
    *("-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir"),
}
NULLABLE = ("budget.fraction",)  # keys that have a default and may be null all the same


def entry(config_name: str) -> Callable[[Command], Callable[..., None]]:
    """Make a function of a `DictConfig` a command configured by `conf/<config_name>.yaml`.

    The command reads `sys.argv`, or the list of overrides it is called with. Bad input (`ValueError`, `OSError`, and
    every mistake in the overrides) ends it with one line on stderr and exit status 2, Ctrl-C with 130 and the way to
    continue, anything else is our bug: a traceback and status 1. `debug=true` always shows the traceback. What the
    function returns is the exit status of what went well (None: 0); of several runs the largest.
    """

    def decorate(function: Command) -> Callable[..., None]:
        @functools.wraps(function)
        def command(overrides: list[str] | None = None) -> None:
            arguments = sys.argv[1:] if overrides is None else list(overrides)
            given = arguments
            debug = any(argument.replace(" ", "").lower() == "debug=true" for argument in arguments)
            try:
                _check_options(arguments)
                arguments = own_method(config_name, arguments)
                if {"-h", "--help"} & set(arguments):
                    show_help(config_name, function, settings(arguments))
                else:
                    _run(config_name, function, arguments)
            except (Exception, KeyboardInterrupt) as error:
                sys.exit(report(error, config_name, given, debug))

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
        hydra.main(version_base="1.3", config_path=f"pkg://{conf.__name__}", config_name=config_name)(task)()
    except _Carrier as carrier:
        failure = carrier.error
    finally:
        sys.argv = before
    if failure is not None:
        raise failure  # here, so that it keeps its own context
    if config_name == "search":
        for folder in sorted(folders):
            shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
            log(f"all runs on one page: python -m nas.report run={shlex.quote(str(shown))}")
    if max(statuses):
        raise SystemExit(max(statuses))


def _check_options(arguments: list[str]) -> None:
    for argument in arguments:
        name = argument.partition("=")[0]
        if argument.startswith("-") and name not in OPTIONS:
            key = name.lstrip("-").replace("-", "_")
            raise ValueError(
                f"there is no option {name}; settings are written key=value, here {key}=... "
                "(options are --help, --multirun and those of --hydra-help)"
            )


class _Carrier(BaseException):
    """Carries a command's exception through Hydra."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


# -- what the overrides must obey


def _prepared(cfg: DictConfig, config_name: str) -> DictConfig:
    """`cfg` with its overrides checked; that of the earlier run where `resume=` names one."""
    overrides = [split(text) for text in HydraConfig.get().overrides.task]
    choices = HydraConfig.get().runtime.choices
    defaults = OmegaConf.load(CONF / f"{config_name}.yaml")
    for key, added in overrides:
        if key in choices or added is None:
            continue
        card = _card_above(cfg, key)
        if added and card is None:
            known = [name for name in keys(cfg) if name != key]
            raise ValueError(f"there is no key {key!r}; {nearest(key, known)}")
        default = OmegaConf.select(defaults, key)
        if key in NULLABLE and OmegaConf.select(cfg, key) is None:
            continue
        if card is None and default is not None and not OmegaConf.is_config(default):
            check_type(OmegaConf.select(cfg, key), type(default), key)
    for key in ("run_dir", "resume"):  # a folder may be called 5
        if cfg.get(key) is not None:
            cfg[key] = str(cfg[key])
    if HydraConfig.get().mode == RunMode.MULTIRUN and "run_dir" in cfg and cfg.run_dir is None:
        cfg.run_dir = HydraConfig.get().runtime.output_dir
    if cfg.get("resume"):
        return _resumed(cfg, [key for key, _ in overrides], config_name)
    return cfg


def _resumed(cfg: DictConfig, given: list[str], config_name: str) -> DictConfig:
    """The configuration of the run `cfg.resume`. Keys given again must agree with it, so that nothing is mixed."""
    stored = run_config(cfg.resume, known=targets(cfg))
    began = Run.read_command(cfg.resume)
    if began not in (None, config_name):
        raise ValueError(
            f"{cfg.resume} is a run of nas.{began}; continue it with: python -m nas.{began} resume={cfg.resume}"
        )
    for key in given:
        if key in ("resume", "debug", "run_dir"):
            continue
        now, then = (_plain(OmegaConf.select(config, key)) for config in (cfg, stored))
        if now != then:
            shown = "" if isinstance(now, dict) else f" (the run has {then!r}, now {now!r})"
            raise ValueError(f"a resumed run keeps its settings, but {key} differs{shown}; leave it out: resume=...")
    stored.resume, stored.debug = cfg.resume, cfg.debug
    return stored


def run_config(path: str, known: Iterable[str] = ()) -> DictConfig:
    """The configuration a run was started with, for `instantiate`.

    A run directory is data, so the code its cards may name is what the cards of this installation name, and `known`.
    Raises `ValueError` for another name and where `path` is no run directory.
    """
    stored = OmegaConf.create(Run.read_config(path))
    assert isinstance(stored, DictConfig)
    allowed = set(known)
    for card in CONF.rglob("*.yaml"):
        allowed |= set(targets(OmegaConf.load(card)))
    for target in targets(stored):
        if target not in allowed:
            raise ValueError(f"{path}/config.yaml names {target!r}, which no card of this installation names")
    OmegaConf.set_struct(stored, True)
    return stored


def _card_above(cfg: DictConfig, key: str) -> DictConfig | None:
    """The nearest node above `key` that is built from a `_target_` (such nodes check their own keys)."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        node = OmegaConf.select(cfg, ".".join(parts[:length]), throw_on_missing=False)
        if isinstance(node, DictConfig) and "_target_" in node:
            return node
    return None


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value


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
    return cards.build(_plain(card), name, extra)


def typed(
    cfg: DictConfig, key: str, annotation: Any, minimum: float | None = None, maximum: float | None = None
) -> Any:
    """`cfg[key]`, which must fit `annotation` (`int`, `float | None`, `Literal[...]`) and lie within the bounds."""
    value = _plain(OmegaConf.select(cfg, key, throw_on_missing=True))
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
    for key, law in types.items():
        typed(cfg, key, *(law if isinstance(law, tuple) else (law,)))
