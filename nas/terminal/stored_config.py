"""The settings of an earlier run, read back from its directory: data from perhaps somebody else, never a program.

What would run code, or write or connect outside of that directory, is done where the command line asks for it again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from nas.runs.resuming import MAY_CHANGE
from nas.runs.run import Run
from nas.terminal.configuration.arguments import OUTSIDE, REACHED
from nas.terminal.configuration.card_roles import ROLES, check_places
from nas.terminal.configuration.composition import CONF, targets
from nas.terminal.configuration.moved_targets import moved
from nas.terminal.configuration.override_text import command, literal
from nas.terminal.progress import log
from nas.terminal.reached_devices import reached_by
from nas.terminal.renamed_keys import present_config
from search_spaces.plain_data.identity import differences

HARMLESS = (
    *("search.trials", "search.finalists", "search.attempts", "executor", "tables", "data.root", *REACHED),
    *("references.train", "derive.best_of"),  # of a network that is found already
    *("checkpoint_minutes", "on_collapse", "trackers"),
)
ELSEWHERE = ("search.supernet", "teacher", "teacher_weights")  # may lie in another place: known by their weights
SPOKEN_FOR = ("resume", "debug", "run_dir")


def run_config(path: str, known: Iterable[str] = ()) -> DictConfig:
    """The configuration a run was started with, for `instantiate`.

    The code its cards may name is what the cards of this installation name, and `known`: the targets of cards that the
    command line gives again. Texts are taken as they stand, without interpolation. Raises `ValueError` for another name
    and where `path` is not a run directory.
    """
    values = present_config(moved(Run.read_config(path)))
    where = f"{path}/config.yaml: "
    check_places(values, where)
    stored = OmegaConf.create(_literal(values))
    assert isinstance(stored, DictConfig)
    allowed = set(known) | installed_targets()
    foreign: dict[str, list[str]] = {}
    for key in ROLES:
        card = stored.get(key)
        if found := [target for target in targets(card) if target not in allowed]:
            foreign[key] = found
    if foreign:
        named = "; ".join(f"{key}: {', '.join(found)}" for key, found in foreign.items())
        again = " ".join(f"{key}=CARD" for key in foreign)
        raise ValueError(
            f"{where}{named}: which no card of this installation names; a run directory runs no code of its own, so "
            f"give your cards again: --config-dir FOLDER {again}"
        )
    device = stored.get("device")
    if isinstance(device, DictConfig) and "python" in device and "host" not in device:
        device.python = None  # which program runs on this machine is said by the command line alone
    OmegaConf.set_struct(stored, True)
    return stored


@functools.cache  # over a hundred files
def installed_targets() -> frozenset[str]:
    """All that the cards of this installation name."""
    return frozenset(target for card in CONF.rglob("*.yaml") for target in targets(OmegaConf.load(card)))


def without_cards(cfg: DictConfig) -> DictConfig:
    """The settings of `cfg` that stand beside its cards."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key not in ROLES])


def resumed(cfg: DictConfig, given: list[str], choices: Iterable[str], config_name: str) -> DictConfig:
    """The configuration of the run `cfg.resume`, with those of the keys `given` that may change.

    `choices`: the keys that choose a card. Raises `ValueError` for a key that differs and may not.
    """
    stored = run_config(cfg.resume, known=targets(cfg))
    began = Run.read_command(cfg.resume)
    if began not in (None, config_name):
        again = command(str(began), {"resume": cfg.resume})
        raise ValueError(f"{cfg.resume} is a run of nas.{began}; continue it with: {again}")
    ours = installed_targets()
    for key in sorted((key for key in given if key not in SPOKEN_FOR), key=lambda key: (key not in choices, key)):
        now, then = (OmegaConf.select(config, key) for config in (cfg, stored))
        if key in choices and isinstance(now, DictConfig) and now.get("_target_") not in (None, *ours):
            _say_differences(key, now, then, "run_dir=... begins another")  # one's own, given so that its code may run
            continue
        if key == "device" and isinstance(now, DictConfig) and then and now.get("_target_") == then.get("_target_"):
            continue  # given again so that the machine may be reached; each setting is looked at by itself
        now, then = plain_value(now), plain_value(then)
        if now == then or _harmlessly_apart(key, now, then):
            continue
        if not _may_change(key) and not (key in ELSEWHERE and now is not None and then is not None):
            raise ValueError(
                f"a resumed run keeps its settings, but {_difference(key, then, now)}; leave it out: resume=..., or "
                f"begin another run: run_dir=...; what may change: {', '.join((*HARMLESS, *ELSEWHERE, *MAY_CHANGE))}"
            )
        if key == "recipe.epochs" and OmegaConf.select(stored, "search.epochs", default=None) is not None:
            raise ValueError(
                f"a resumed search keeps the recipe of its candidates, but {_difference(key, then, now)}; train.epochs="
                f"{now} is how long the found network is trained, in another run: run_dir=..."
            )
        OmegaConf.update(stored, key, _literal(now), merge=False, force_add=True)
    _check_outside(cfg, stored, given)
    stored.resume, stored.debug = literal(cfg.resume), cfg.debug
    return stored


def plain_value(value: Any) -> Any:
    """`value` of a configuration as plain Python."""
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value


def _harmlessly_apart(card: str, now: Any, then: Any) -> bool:
    """Whether two values of a card differ at most in keys that may change, and that are given for themselves."""
    inner = {name.partition(".")[2] for name in HARMLESS if name.startswith(f"{card}.")}
    if not inner or not isinstance(now, dict) or not isinstance(then, dict):
        return False
    return {**now, **dict.fromkeys(inner)} == {**then, **dict.fromkeys(inner)}


def _may_change(key: str) -> bool:
    return key in MAY_CHANGE or any(key == name or key.startswith(f"{name}.") for name in HARMLESS)


def say_kept(cfg: DictConfig, stored: DictConfig) -> None:
    """Say which settings of the run `stored` hold where a command that goes by it is given other ones in its cards."""
    for key in ROLES:
        if key != "device" and isinstance(card := cfg.get(key), DictConfig):  # networks may be for another device
            _say_differences(key, card, stored.get(key), "nas.search with that card begins another")


def _say_differences(card: str, now: DictConfig, then: Any, cure: str) -> None:
    """Say which settings of a run hold where its `card` was edited, or was given others on the command line, since; and
    the `cure`."""
    known = plain_value(then)
    if not isinstance(known, dict):
        return
    values = {str(key): plain_value(now[key]) for key in now if not OmegaConf.is_missing(now, key)}
    said = {key: value for key, value in values.items() if value is not None}  # null, as ???: it is left open
    if found := differences({key: known.get(key) for key in said}, said):
        log(f"the run goes by its own settings, not by the card {card}: {'; '.join(found)}; {cure}")


def _difference(key: str, then: Any, now: Any) -> str:
    if isinstance(now, dict) and isinstance(then, dict):
        return f"{key} differs: {'; '.join(differences(then, now)[:3])}"
    return f"{key} differs (the run has {then!r}, now {now!r})"


def _check_outside(cfg: DictConfig, stored: DictConfig, given: list[str]) -> None:
    """Nothing outside of the run directory is written or called because the directory itself says so."""
    folder = Path(cfg.resume).resolve()
    for key in OUTSIDE:
        then = OmegaConf.select(stored, key, default=None)
        if then is None or key in given or then == OmegaConf.select(cfg, key, default=None):
            continue
        if key == "tables" and ((folder / "table.json").exists() or Path(str(then)).resolve().is_relative_to(folder)):
            continue
        again = reached_by(plain_value(stored.device)) if key in REACHED else {key: then}
        raise ValueError(
            f"{cfg.resume} was begun with {key}={then}, which lies outside of it; a run directory reaches nothing "
            f"outside unless asked: give the setting again, {command(None, {'resume': cfg.resume, **again})}"
        )


def _literal(value: Any) -> Any:
    """Plain `value` so that OmegaConf gives it back as it is: `${` in a text is not an interpolation."""
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_literal(inner) for inner in value]
    if isinstance(value, str):
        return literal(value)
    return value
