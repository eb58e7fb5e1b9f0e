"""The user's cache: what can be made again, kept across runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$NAS_CACHE`, or `nas` in the folder that the system has for caches. It need not exist."""
    named = os.environ.get("NAS_CACHE")
    if named:
        return Path(named)
    found = [os.environ.get(name) for name in ("XDG_CACHE_HOME", "LOCALAPPDATA")]
    return Path(next(filter(None, found), Path.home() / ".cache"), "nas")
