"""Where the bytes of an image are: a file of its own, or a part of a larger one."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes from `offset` of the file `path`, there under the name `name`."""

    path: str
    offset: int
    size: int
    name: str

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"


Stored = str | Part


def opened(stored: Stored, buffering: int = -1) -> BinaryIO:
    """The bytes of `stored`, as a file. Raises `OSError` where it cannot be read, `ValueError` for what is no file."""
    path = stored.path if isinstance(stored, Part) else stored
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for a writer
        raise ValueError("it is not a regular file")
    if isinstance(stored, str):
        return open(stored, "rb", buffering)
    with open(path, "rb", buffering=0) as file:
        content = os.pread(file.fileno(), stored.size, stored.offset)
    if len(content) < stored.size:
        raise ValueError("its file ends before it does")
    return io.BytesIO(content)


def size_of(stored: Stored) -> int:
    """Bytes of `stored`. Raises `OSError` where its file cannot be looked at."""
    return stored.size if isinstance(stored, Part) else os.path.getsize(stored)
