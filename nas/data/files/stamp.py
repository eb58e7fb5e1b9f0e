"""Whether the files of a data set are still those that were read: with its card, the key of a cache of data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def stamp(card: Mapping[str, Any]) -> str:
    """A digest of the path, sizes and times of change (see `remembered.state_of`) of the file or of all files under
    `root` of a data card.

    Nothing is read but the folders: 1.3 million files take 10 to 20 s. Cards without `root` have no files.
    """
    root = card.get("root")
    if not isinstance(root, str | Path):
        return ""
    found = hashlib.sha256(os.path.realpath(root).encode(errors="surrogateescape"))
    for path, about in _files(os.path.realpath(root), set()):
        found.update(f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} ".encode())
        found.update(path.encode(errors="surrogateescape"))
    return found.hexdigest()[:32]


def _files(path: str, seen: set[tuple[int, int]]) -> Iterator[tuple[str, os.stat_result]]:
    """Each file once, whatever links lead to its folder."""
    if not os.path.isdir(path):
        if os.path.exists(path):
            yield path, os.stat(path)
        return
    about = os.stat(path)
    if (about.st_dev, about.st_ino) in seen:
        return
    seen.add((about.st_dev, about.st_ino))
    for name in sorted(os.listdir(path)):
        yield from _files(os.path.join(path, name), seen)
