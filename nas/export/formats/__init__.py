"""File formats a network can be exported to; one a file, which declares it as `FORMAT`."""

from __future__ import annotations

import importlib
import pkgutil

from nas.export.formats.base import Format

NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def format_named(name: str) -> Format:
    """The format called `name`. Raises `ValueError` for an unknown one."""
    if name not in NAMES:
        raise ValueError(f"unknown format {name!r}; one of {', '.join(NAMES)}")
    found = importlib.import_module(f"{__name__}.{name}").FORMAT
    assert isinstance(found, Format)
    return found
