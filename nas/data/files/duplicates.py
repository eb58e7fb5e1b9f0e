"""Images that are in the training split and in the test split: counted and named, as they flatter every figure."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

from nas.data.files.threads import in_threads

BLOCK = 4096  # bytes read at the beginning, middle and end of a file
LOOKED_AT = 10_000  # test images of files that are compared; of more, evenly spaced ones


def shared_pixels(train: Iterable[Tensor], test: Iterable[Tensor]) -> list[tuple[int, int]]:
    """(row of `test`, row of `train`) for each image of `test` that is one of `train`, pixel for pixel."""
    return _pairs(_digests(train), _digests(test))


def shared_files(train: Sequence[str], test: Sequence[str], workers: int) -> list[tuple[int, int]]:
    """(row of `test`, row of `train`) for each file of `test` that holds the bytes of one of `train`.

    Sizes are compared first, then parts of a file, then all of it: few files are read whole. Of more than
    `LOOKED_AT` test files, so many evenly spaced ones are looked at.
    """
    step = -(-len(test) // LOOKED_AT)
    sides = {"train": dict(enumerate(train)), "test": dict(list(enumerate(test))[::step])}
    for look in (_size, parts, _whole):
        keys = {
            side: dict(zip(rows, in_threads(look, rows.values(), workers), strict=True)) for side, rows in sides.items()
        }
        common = set(keys["train"].values()) & set(keys["test"].values())
        sides = {
            side: {row: path for row, path in rows.items() if keys[side][row] in common} for side, rows in sides.items()
        }
    first = {keys["train"][row]: row for row in reversed(sides["train"])}
    return [(row, first[keys["test"][row]]) for row in sides["test"]]


def parts(path: str) -> bytes:
    """A digest of size, beginning, middle and end of a file; of one that cannot be read, of its name."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would wait for a writer
            raise OSError(path)
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            found = hashlib.blake2b(f"{size} ".encode() + file.read(BLOCK), digest_size=16)
            if size > BLOCK:
                for start in (max(size // 2, BLOCK), max(size - BLOCK, BLOCK)):
                    file.seek(start)
                    found.update(file.read(BLOCK))
    except OSError:  # whoever wants its image says so
        return f"unreadable {path}".encode()
    return found.digest()


def _size(path: str) -> Hashable:
    try:
        return os.path.getsize(path)
    except OSError:
        return path


def _whole(path: str) -> Hashable:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _digests(images: Iterable[Tensor]) -> list[bytes]:
    rows = images.numpy() if isinstance(images, Tensor) else (image.numpy() for image in images)
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _pairs(train: Iterable[Hashable], test: Iterable[Hashable]) -> list[tuple[int, int]]:
    first: dict[Hashable, int] = {}
    for row, key in enumerate(train):
        first.setdefault(key, row)
    return [(row, first[key]) for row, key in enumerate(test) if key in first]
