"""Images that are in the training split and in the test split: counted and named, as they flatter every figure."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence

from torch import Tensor

from nas.data.files.stored import Stored, opened, size_of
from nas.data.files.threads import in_threads

BLOCK = 4096  # bytes read at the beginning, middle and end of a file
LOOKED_AT = 10_000  # test images of files that are compared; of more, evenly spaced ones


def shared_pixels(train: Iterable[Tensor], test: Iterable[Tensor]) -> list[tuple[int, int]]:
    """(row of `test`, row of `train`) for each image of `test` that is one of `train`, pixel for pixel."""
    return _pairs(_digests(train), _digests(test))


def shared_files(train: Sequence[Stored], test: Sequence[Stored], workers: int) -> list[tuple[int, int]]:
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


def parts(stored: Stored) -> bytes:
    """A digest of size, beginning, middle and end of a file; of one that cannot be read, of its name."""
    try:
        with opened(stored, buffering=0) as file:
            size = size_of(stored)
            found = hashlib.blake2b(f"{size} ".encode() + file.read(BLOCK), digest_size=16)
            if size > BLOCK:
                for start in (max(size // 2, BLOCK), max(size - BLOCK, BLOCK)):
                    file.seek(start)
                    found.update(file.read(BLOCK))
    except (OSError, ValueError):  # whoever wants its image says so
        return f"unreadable {stored}".encode(errors="surrogateescape")
    return found.digest()


def _size(stored: Stored) -> Hashable:
    try:
        return size_of(stored)
    except OSError:
        return stored


def _whole(stored: Stored) -> Hashable:
    with opened(stored) as file:
        return hashlib.sha256(file.read()).digest()


def _digests(images: Iterable[Tensor]) -> list[bytes]:
    rows = images.numpy() if isinstance(images, Tensor) else (image.numpy() for image in images)
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]


def _pairs(train: Iterable[Hashable], test: Iterable[Hashable]) -> list[tuple[int, int]]:
    first: dict[Hashable, int] = {}
    for row, key in enumerate(train):
        first.setdefault(key, row)
    return [(row, first[key]) for row, key in enumerate(test) if key in first]
