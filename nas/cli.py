"""The command line: from `group=card key=value` to plain objects, and from any mistake to one readable line.

Only this file and the entry points know Hydra. An entry point reads

    @entry("search")                      # conf/search.yaml
    def main(cfg: DictConfig) -> None:
        space = instantiate(cfg.space)
        ...

and everything below it takes plain keyword arguments.
"""

from __future__ import annotations

import difflib
import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import conf
from nas import cards
from nas.cards import check_type
from nas.command_help import show_help
from nas.runs import Run

CONF = Path(conf.__file__).parent
USER_ERROR, BUG, INTERRUPTED = 2, 1, 130

Command = Callable[[DictConfig], None]


def entry(config_name: str) -> Callable[[Command], Callable[..., None]]:
    """Make a function of a `DictConfig` a command configured by `conf/<config_name>.yaml`.

    The command reads `sys.argv`, or the list of overrides it is called with. Bad input (`ValueError`, `OSError`, and
    every mistake in the overrides) ends it with one line on stderr and exit status 2, Ctrl-C with 130 and the way to
    continue, anything else is our bug: a traceback and status 1. `debug=true` always shows the traceback.
    """

    def decorate(function: Command) -> Callable[..., None]:
        @functools.wraps(function)
        def command(overrides: list[str] | None = None) -> None:
            arguments = sys.argv[1:] if overrides is None else list(overrides)
            debug = any(argument.replace(" ", "").lower() == "debug=true" for argument in arguments)
            try:
                if {"-h", "--help"} & set(arguments):
                    show_help(config_name, function, [a for a in arguments if not a.startswith("-")], _compose)
                else:
                    _run(config_name, function, arguments)
            except (Exception, KeyboardInterrupt) as error:
                sys.exit(_report(error, config_name, arguments, debug))

        return command

    return decorate


def _run(config_name: str, function: Command, arguments: list[str]) -> None:
    def task(cfg: DictConfig) -> None:
        try:
            function(_prepared(cfg, config_name))
        except Exception as error:
            # Hydra turns an exception of the task into lines of its own; only SystemExit and Ctrl-C pass it untouched.
            raise _Carrier(error) from None

    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us, so that one place words them
    before = sys.argv
    sys.argv = [f"nas.{config_name}", *arguments]
    try:
        hydra.main(version_base="1.3", config_path=f"pkg://{conf.__name__}", config_name=config_name)(task)()
    except _Carrier as carrier:
        raise carrier.error from carrier.error.__cause__
    finally:
        sys.argv = before


class _Carrier(BaseException):
    """Carries a command's exception through Hydra."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def _compose(config_name: str, overrides: list[str]) -> DictConfig:
    with hydra.initialize_config_module(version_base="1.3", config_module=conf.__name__):
        return hydra.compose(config_name=config_name, overrides=overrides)


# -- what the overrides must obey


def _prepared(cfg: DictConfig, config_name: str) -> DictConfig:
    """`cfg` with its overrides checked; that of the earlier run where `resume=` names one."""
    overrides = [_split(text) for text in HydraConfig.get().overrides.task]
    choices = HydraConfig.get().runtime.choices
    defaults = OmegaConf.load(CONF / f"{config_name}.yaml")
    for key, added in overrides:
        if key in choices or added is None:
            continue
        card = _card_above(cfg, key)
        if added and card is None:
            known = [name for name in _keys(cfg) if name != key]
            raise ValueError(f"there is no key {key!r}; {_nearest(key, known)}")
        default = OmegaConf.select(defaults, key)
        if card is None and default is not None and not OmegaConf.is_config(default):
            check_type(OmegaConf.select(cfg, key), type(default), key)
    if HydraConfig.get().mode == RunMode.MULTIRUN and "run_dir" in cfg and cfg.run_dir is None:
        cfg.run_dir = HydraConfig.get().runtime.output_dir
    if cfg.get("resume"):
        return _resumed(cfg, [key for key, _ in overrides])
    return cfg


def _resumed(cfg: DictConfig, given: list[str]) -> DictConfig:
    """The configuration of the run `cfg.resume`. Keys given again must agree with it, so that nothing is mixed."""
    stored = run_config(cfg.resume, known=_targets(cfg))
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
        allowed |= set(_targets(OmegaConf.load(card)))
    for target in _targets(stored):
        if target not in allowed:
            raise ValueError(f"{path}/config.yaml names {target!r}, which no card of this installation names")
    OmegaConf.set_struct(stored, True)
    return stored


def _split(override: str) -> tuple[str, bool | None]:
    """The key of an override, and whether it is added (`+key=1`); None for a deletion (`~key`)."""
    key = override.partition("=")[0].strip()
    return key.lstrip("+~"), None if key.startswith("~") else key.startswith("+")


def _card_above(cfg: DictConfig, key: str) -> DictConfig | None:
    """The nearest node above `key` that is built from a `_target_` (such nodes check their own keys)."""
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        node = OmegaConf.select(cfg, ".".join(parts[:length]), throw_on_missing=False)
        if isinstance(node, DictConfig) and "_target_" in node:
            return node
    return None


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key in node:
            value = node._get_node(key)
            if key == "_target_":
                yield str(node[key])
            elif OmegaConf.is_config(value):
                yield from _targets(value)


def _keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key in node:
        if str(key) in ("_target_", "hydra"):
            continue
        keys.append(f"{prefix}{key!s}")
        child = node._get_node(key)
        if isinstance(child, DictConfig) and not child._is_none():
            keys += _keys(child, f"{prefix}{key!s}.")
    return keys


def _nearest(word: str, options: list[str]) -> str:
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


# -- from cards to objects


def plain(cfg: DictConfig) -> dict[str, Any]:
    """`cfg` as plain Python values with everything resolved, to be stored with a run."""
    values = OmegaConf.to_container(cfg, resolve=True)
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


def typed(cfg: DictConfig, key: str, annotation: Any, minimum: float | None = None) -> Any:
    """`cfg[key]`, which must fit `annotation` (`int`, `float | None`, `Literal[...]`) and be at least `minimum`."""
    value = _plain(OmegaConf.select(cfg, key, throw_on_missing=True))
    value = check_type(value, annotation, key)
    if minimum is not None and value is not None and value < minimum:
        raise ValueError(f"{key} must be at least {minimum:g}, got {value!r}")
    return value


def check_types(cfg: DictConfig, types: dict[str, Any]) -> None:
    """Check several keys at once: `check_types(cfg, {"seed": int, "budget.latency_ms": float | None})`."""
    for key, annotation in types.items():
        typed(cfg, key, annotation)


# -- from mistakes to one line


def _report(error: BaseException, config_name: str, arguments: list[str], debug: bool) -> int:
    """Print what went wrong on stderr and return the exit status."""
    resume = next((note for note in getattr(error, "__notes__", []) if note.startswith("resume=")), None)
    if isinstance(error, KeyboardInterrupt):
        again = f"; continue with: python -m nas.{config_name} {resume}" if resume else ""
        print(f"\ninterrupted{again}", file=sys.stderr)
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if debug or not _is_users(error):
        traceback.print_exception(error)
        return USER_ERROR if _is_users(error) else BUG
    line = " ".join(_message(error, config_name, arguments).split())
    if resume and resume not in line:
        line += f" [the run can be continued: {resume}]"
    print(f"error: {line}", file=sys.stderr)
    return USER_ERROR


def _is_users(error: BaseException) -> bool:
    kinds = (ValueError, OSError, MemoryError, HydraException, OmegaConfBaseException)
    return isinstance(error, kinds) or _is_full_disk(error) or type(error).__name__ == "OutOfMemoryError"


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether `error` or what caused it is a full disk; libraries wrap it in errors of their own."""
    seen = 0
    while error is not None and seen < 10:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        if "No space left on device" in str(error):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _message(error: BaseException, config_name: str, arguments: list[str]) -> str:
    if _is_full_disk(error):
        file = getattr(error, "filename", None)
        return f"the disk is full{f' (writing {file})' if file else ''}; free some space and try again"
    if isinstance(error, MissingConfigException):
        return _unknown_card(error)
    if isinstance(error, HydraException):
        return _bad_override(error, config_name, arguments)
    if isinstance(error, OmegaConfBaseException):
        return str(error).splitlines()[0] + "; see --help"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: {error or 'no details'}; a smaller batch size or resolution needs less"
    return str(error) or type(error).__name__


def _unknown_card(error: MissingConfigException) -> str:
    group, _, card = (error.missing_cfg_file or "").rpartition("/")
    if not group or error.options is None:
        return str(error)
    options = sorted(error.options)
    near = difflib.get_close_matches(card, options, n=1)
    return f"unknown {group}={card}; the options are {', '.join(options)}" + (
        f" (did you mean {near[0]}?)" if near else ""
    )


def _bad_override(error: HydraException, config_name: str, arguments: list[str]) -> str:
    override = getattr(error, "override", None)
    if override is not None:
        if "=" not in override:
            return f"{override!r} is no setting; settings are written key=value, see --help"
        key, _, value = override.partition("=")
        return f"{override!r} cannot be read; quote values that hold spaces or signs: '{key}=\"{value}\"'"
    text = str(error)
    for argument in arguments:
        key = _split(argument)[0]
        if f"'{key}'" not in text and f"'{argument}'" not in text:
            continue
        groups = [a for a in arguments if "." not in _split(a)[0] and (CONF / _split(a)[0]).is_dir() and a != argument]
        try:
            known = _keys(_compose(config_name, groups))
        except HydraException:
            continue
        if key not in known:
            return f"there is no key {key!r}; {_nearest(key, known)}"
    cause = error.__cause__
    return text.splitlines()[0] + (f": {str(cause).splitlines()[0]}" if cause and str(cause) else "")
