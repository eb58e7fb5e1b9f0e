"""What looking at many files found, kept in the user's cache for as long as these files are as they were."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from nas.data.files.stored import Part, Stored
from nas.runs.files import cache_folder, read_json, write_json
from search_spaces.plain_data.identity import digest

FOLDER = "data"


def state_of(files: Iterable[Stored], rules: str) -> str:
    """A digest of the names, sizes and times of change of `files`, in order, and of the `rules` they are read by.

    Nothing is opened: some microseconds a file. The time that a copy or an archive brings along counts, and the one
    that the file system itself keeps, which no program sets: a file of the same size that carries the time of the one
    that it replaces (`cp -p`, tar) often has its inode too.
    """
    found = hashlib.sha256(rules.encode())
    shards: dict[str, str] = {}
    for one in files:
        if isinstance(one, Part):
            if one.path not in shards:
                shards[one.path] = _about(one.path)
            found.update(f"{shards[one.path]} {one.offset} {one.size} {one.name}\n".encode(errors="surrogateescape"))
        else:
            found.update(f"{_about(one)} {one}\n".encode(errors="surrogateescape"))
    return found.hexdigest()


def _about(path: str) -> str:
    try:
        about = os.stat(path)
    except OSError:  # whoever opens it says so
        return "missing"
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def remembered(kind: str, state: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `find` gives, plain data; what it gave before where `state` is the same.

    A cache that is damaged, or that cannot be written, is no fault: it is found again.
    """
    path = cache_folder() / FOLDER / f"{kind}-{state[:32]}.json"
    with contextlib.suppress(ValueError):
        kept = read_json(path, "cache")
        if isinstance(kept, dict) and kept.get("state") == state and isinstance(kept.get("found"), dict):
            found: dict[str, Any] = kept["found"]
            if kept.get("digest") == digest(found):
                return found
    value = find()
    with contextlib.suppress(OSError):
        write_json(path, {"state": state, "found": value, "digest": digest(value)})
    return value
