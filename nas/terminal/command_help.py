"""`--help` of every command: what it does, the cards of each group, and each key with its default and its comment."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from rich.console import Console
from rich.markup import escape

from nas.terminal.configuration.composition import CONF, compose

_LINE = re.compile(r"^(?P<indent>\s*)(?P<key>[A-Za-z_][\w/]*):(?P<rest>.*)$")


def show_help(config_name: str, command: Any, overrides: list[str]) -> None:
    """Print the help of `conf/<config_name>.yaml`. Keys are shown for the cards that `overrides` choose."""
    cfg = compose(config_name, overrides)
    groups = card_groups(config_name)
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"[bold]python -m nas.{config_name}[/] [dim]group=card key=value ...[/]\n")
    out.print(escape(_description(command)) + "\n")
    chosen = {group: _choice(group, card, overrides) for group, card in groups.items()}
    if groups:
        out.print("[bold]Cards[/] (group=card, * the one in use; --help with another one lists its keys)")
        for group, card in chosen.items():
            names = [f"{name}*" if name == card else name for name in options(group)]
            out.print(f"  [bold]{group}[/] = {escape(', '.join(names))}")
        out.print()
    out.print("[bold]Keys[/] (key=default)")
    files = [("", CONF / f"{config_name}.yaml")] + [
        (f"{group}.", CONF / group / f"{card}.yaml") for group, card in chosen.items() if card
    ]
    rows = [
        (f"{key}={_show(cfg, key, default)}", note)
        for prefix, file in files
        for key, default, note in documented_keys(file, prefix)
    ]
    rows.append(("debug=false", "show the Python traceback of an error"))
    width = min(max(len(left) for left, _ in rows), 48)
    for left, note in rows:
        out.print(f"  {escape(left.ljust(width))}  [dim]{escape(note)}[/]" if note else f"  {escape(left)}")
    out.print("\nSeveral values at once: --multirun key=1,2,3. Own cards: --config-dir FOLDER.")


def options(group: str) -> list[str]:
    """The names of the cards of `group`."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def card_groups(config_name: str) -> dict[str, str | None]:
    """The groups that `conf/<config_name>.yaml` lists and the card each has by default."""
    defaults = (yaml.safe_load((CONF / f"{config_name}.yaml").read_text(encoding="utf-8")) or {}).get("defaults", [])
    groups: dict[str, str | None] = {}
    for item in defaults:
        if isinstance(item, dict):
            for group, card in item.items():
                name = group.removeprefix("override ").removeprefix("optional ").partition("@")[0].strip("/ ")
                groups[name] = card if isinstance(card, str) and "$" not in card else None
    return groups


def documented_keys(path: Path, prefix: str = "") -> list[tuple[str, str, str]]:
    """(full key, default as written, comment) of each value in a yaml file, in order.

    A comment stands behind the value, and goes on in lines just below it, or in lines just above the key.
    """
    found: list[tuple[str, str, str]] = []
    above: list[tuple[int, str]] = []
    notes: list[str] = []
    goes_on = False  # whether the key above has a comment behind its value
    in_defaults = False
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        text = line.strip()
        if text.startswith("#"):
            if goes_on:
                name, value, comment = found[-1]
                found[-1] = (name, value, f"{comment} {text.lstrip('# ')}")
            elif not text.startswith("# @package"):
                notes.append(text.lstrip("# "))
            continue
        goes_on = False
        match = _LINE.match(line)
        if not match:
            if not text:
                notes = []
            continue
        indent, key = len(match["indent"]), match["key"]
        in_defaults = (in_defaults and indent > 0) or (indent == 0 and key == "defaults")
        if in_defaults or key in ("_target_", "hydra"):
            notes = []
            continue
        above = [(depth, name) for depth, name in above if depth < indent]
        value, _, comment = match["rest"].partition(" #")
        name = prefix + ".".join([name for _, name in above] + [key])
        if value.strip():
            found.append((name, value.strip(), " ".join([*notes, comment.strip()]).strip()))
            goes_on = bool(comment)
        else:
            above.append((indent, key))
        notes = []
    return found


def _show(cfg: Any, key: str, default: str) -> str:
    """The present value of `key`, short; as written where it depends on others."""
    node = cfg
    for part in key.split("."):
        if part not in node or OmegaConf.is_interpolation(node, part) or OmegaConf.is_missing(node, part):
            return default
        node = node[part]
        if node is None:
            return "null"
    return {True: "true", False: "false"}.get(node, str(node)) if isinstance(node, bool) else str(node)


def _choice(group: str, default: str | None, overrides: list[str]) -> str | None:
    given = [text.partition("=")[2] for text in overrides if text.partition("=")[0] == group]
    return given[-1] if given else default


def _description(command: Any) -> str:
    """The docstring of the command, or else of its module."""
    text = command.__doc__ or inspect.getmodule(command).__doc__ or ""
    return inspect.cleandoc(text)
