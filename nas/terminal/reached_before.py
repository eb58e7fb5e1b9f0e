"""Which machines this user reached before: only those does a run directory reach that names them.

A run may come from somebody else, and what a machine is reached by can name programs. So the very settings that a
command of this user gave, and that led to an answer, are remembered in the user's cache, as digests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.runs.files import cache_folder, read_json, write_json
from search_spaces.plain_data.identity import digest

FORMAT = "nas.reached"
BY = ("host", "port", "options", "python", "folder")  # how a machine is reached, and what runs there


def is_known(settings: Mapping[str, Any]) -> bool:
    """Whether `settings`, those of `BY` among them, reached a machine before; a damaged record knows none."""
    return _digest(settings) in _known()


def remember(settings: Mapping[str, Any]) -> None:
    """Remember that `settings` reached a machine, where the user's cache can be written."""
    known, new = _known(), _digest(settings)
    if new not in known:
        with contextlib.suppress(OSError):
            write_json(_path(), {"format": FORMAT, "addresses": sorted({*known, new})})


def _digest(settings: Mapping[str, Any]) -> str:
    found = {name: settings.get(name) for name in BY}
    return digest({**found, "options": list(found["options"] or ())})


def _known() -> set[str]:
    try:
        found = read_json(_path(), "record of reached machines")
        addresses = found["addresses"] if found["format"] == FORMAT else []
        return {each for each in addresses if isinstance(each, str)}
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _path() -> Path:
    return cache_folder() / "reached.json"
