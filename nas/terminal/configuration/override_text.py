"""Settings as text that both the shell and Hydra read back as the very value: what is printed can be pasted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_./-]+( [A-Za-z0-9_./-]+)*")  # no sign that Hydra's grammar or OmegaConf give a meaning
_WORDS = {"null", "true", "false"}


def command(name: str | None, settings: Mapping[str, Any], flags: Sequence[str] = ()) -> str:
    """`python -m nas.<name> <flags> key=value ...` for a shell; the arguments alone where `name` is None."""
    words = ["python", "-m", f"nas.{name}"] if name else []
    return shlex.join([*words, *flags, *(f"{key}={value_text(value)}" for key, value in settings.items())])


def value_text(value: Any) -> str:
    """Plain `value` in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return value if _is_bare(value) else _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{value_text(str(key))}:{value_text(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(map(value_text, value)) + "]"
    return str(value)


def literal(text: str) -> str:
    """`text` as OmegaConf gives it back unchanged: its `${` begins no interpolation."""
    return re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", text)


def _is_bare(text: str) -> bool:
    if not _BARE.fullmatch(text) or text.lower() in _WORDS:
        return False
    try:
        float(text)  # a folder may be called 5
    except ValueError:
        return True
    return False


def _quoted(text: str) -> str:
    """In the quotes that `text` has none of, else in single ones; a backslash counts only before a quote."""
    quote = '"' if '"' not in text else "'"
    return quote + re.sub(rf"(\\*)({quote}|\Z)", _before_quote, literal(text)) + quote


def _before_quote(found: re.Match[str]) -> str:
    return found[1] * 2 + (f"\\{found[2]}" if found[2] else "")
