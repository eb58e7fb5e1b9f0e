"""Whatever ends a command, in words: one line that names what was wrong and what would be right, and an exit status."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import sys
import traceback

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from nas.runs.keeping.stopping import Terminated
from nas.terminal.command_help import card_groups, documented_keys, options
from nas.terminal.configuration import cards
from nas.terminal.configuration.arguments import resume_command, split
from nas.terminal.configuration.composition import CONF, compose, keys, nearest
from nas.terminal.configuration.override_text import command
from nas.terminal.library_errors import translated

USER_ERROR, BUG, INTERRUPTED, UNREAD, TERMINATED = 2, 1, 130, 141, 143  # those above 128 as a shell counts signals
RESUMED = ("search", "train")  # the commands whose runs go on; an evaluation is made again
PROCESSORS = ("cpu", "cuda", "gpu")  # which are no devices
LONGEST = 1000  # characters of a line, whatever value of a file is quoted in it


def report(error: BaseException, config_name: str, arguments: list[str], debug: bool) -> int:
    """Print what went wrong on stderr and return the exit status."""
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("resume=")]
    is_resumable = notes and config_name in RESUMED
    again = resume_command(config_name, notes[0].removeprefix("resume="), arguments) if is_resumable else ""
    if isinstance(error, KeyboardInterrupt):
        word, status = "interrupted", INTERRUPTED
        if isinstance(error, Terminated):
            word, status = "terminated", error.status
        _say(f"\n{word}{f'; continue with: {again}' if again else ''}")
        return status
    if isinstance(error, BrokenPipeError):  # `... | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not again:  # of a run that is not done, that is said
            return 0 if {"-h", "--help"} & set(arguments) else UNREAD  # what a command had to do may not be done
    if debug or not _is_users(error):
        traceback.print_exception(error)
        return USER_ERROR if _is_users(error) else BUG
    line = _one_line(message(error, config_name, arguments))
    if again and again not in line:
        line += f" [the run can be continued: {again}]"
    _say(f"error: {line}")
    return USER_ERROR


def _say(line: str) -> None:
    """Print `line` on stderr, unless nobody is left to read it: a broken pipe, a terminal that was closed."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        with contextlib.suppress(OSError, ValueError):  # what is left of it must not change the exit status
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _one_line(text: str) -> str:
    """`text` in one line that any terminal shows as it is, without the middle of what is very long."""
    line = re.sub(r"\s*[\n\r]\s*", " ", text.strip())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} [...] {line[-LONGEST // 2 :]}"
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in line)


def _is_users(error: BaseException) -> bool:
    kinds = (ValueError, OSError, HydraException, OmegaConfBaseException, yaml.YAMLError)
    return isinstance(error, kinds) or _is_full_disk(error) or translated(error) is not None


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


def message(error: BaseException, config_name: str, arguments: list[str]) -> str:
    if _is_full_disk(error):
        file = getattr(error, "filename", None)
        return f"the disk is full{f' (writing {file})' if file else ''}; free some space and try again"
    if known := translated(error):
        return known
    if isinstance(error, MissingConfigException):
        return _unknown_card(error)
    if isinstance(error, HydraException):
        return _bad_override(error, config_name, arguments)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} has no value; give it: {error.full_key}=..."
    if isinstance(error, OmegaConfBaseException):
        return str(error).splitlines()[0] + "; see --help"
    if isinstance(error, yaml.YAMLError):
        return f"a card cannot be read: {error}; see docs/extending.md"
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return f"{error.filename} cannot be used: {error.strerror.lower()}; give another path"
    return str(error) or type(error).__name__


def _unknown_card(error: MissingConfigException) -> str:
    group, _, card = (error.missing_cfg_file or "").rpartition("/")
    if not group or error.options is None:
        return str(error)
    known = sorted(error.options)
    near = difflib.get_close_matches(card, known, n=1) or [name for name in known if _initials(name) == card]
    hint = f" (did you mean {near[0]}?)" if near else ""
    if group == "device" and card in PROCESSORS:
        hint = " (accelerator=cuda trains on a GPU, device.processor=cuda measures on it)"
    return f"unknown {group}={card}; the options are {', '.join(known)}{hint}"


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))


def _written(word: str, config_name: str) -> str:
    """How settings are written, with `word` as an example where it is a key or a card."""
    groups = [group for group in card_groups(config_name) if (CONF / group / f"{word}.yaml").exists()]
    example = f"{word}=..." if word in keys(compose(config_name, [])) else f"{groups[0]}={word}" if groups else ""
    return f"settings are written key=value, {f'here {example}' if example else 'see --help'}"


def _taken(cfg: DictConfig, key: str) -> list[str]:
    """The arguments of what the card above `key` builds, as keys, whether the card lists them or not."""
    card = key.rpartition(".")[0]
    node = OmegaConf.select(cfg, card) if card else None
    if not isinstance(node, DictConfig) or "_target_" not in node:
        return []
    try:
        return [f"{card}.{name}" for name in cards.parameters(cards.find_target(node["_target_"]))]
    except ValueError:
        return []


def _cards_with(key: str) -> list[str]:
    """The cards of ours, of the group that `key` begins with, that list it."""
    group = key.partition(".")[0]
    if group == key or not (CONF / group).is_dir():
        return []
    files = {name: CONF / group / f"{name}.yaml" for name in options(group)}
    return [name for name, file in files.items() if key in [known for known, *_ in documented_keys(file, f"{group}.")]]


def _bad_override(error: HydraException, config_name: str, arguments: list[str]) -> str:
    override = getattr(error, "override", None)
    if override is not None:
        if "=" not in override:
            return f"{override!r} is not a setting; {_written(override, config_name)}"
        key, _, value = override.partition("=")
        return f"{override!r} cannot be read; quote values that hold spaces or signs: {command(None, {key: value})}"
    text = str(error)
    for argument in arguments:
        key = split(argument)[0]
        if f"'{key}'" not in text and f"'{argument}'" not in text:
            continue
        groups = [a for a in arguments if "." not in split(a)[0] and (CONF / split(a)[0]).is_dir() and a != argument]
        try:
            composed = compose(config_name, groups)
        except HydraException:
            continue
        known = keys(composed)
        if key not in known and key in _taken(composed, key):
            return f"the card in use does not list {key}; add it with a plus sign: +{argument}"
        if key not in known and (others := _cards_with(key)):
            group = key.partition(".")[0]
            return f"the {group} in use has no key {key!r}; it belongs to {group}={', '.join(others)}"
        if key not in known:
            return f"there is no key {key!r}; {nearest(key, [*known, *_taken(composed, key)])}"
    if text.startswith("Ambiguous value"):
        key, _, value = text.split("'")[1].partition("=")
        return f"{key}={value} gives several values; a list is {key}=[{value}], one run for each is --multirun"
    cause = error.__cause__
    first = next(iter(text.splitlines()), "a card or a setting cannot be read")
    return first + (f": {str(cause).splitlines()[0]}" if cause and str(cause) else "")
