"""JSON text from files: plain, finite and unambiguous data, or a `ValueError` that says what it holds instead."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_DEPTH = 64  # lists and objects within each other; what we write has less than ten levels
LARGEST = 2**63 - 1  # the largest whole number that arrays and databases hold

MOST_BYTES = 256 << 20  # of a file


def read(path: Path, most: int = MOST_BYTES) -> Any:
    """The value in the file `path`, of at most `most` bytes. Raises `ValueError` as `parse` does; and `OSError`."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most >> 20} MiB, which no file of that kind is")
    try:
        return parse(content.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not text in UTF-8: {error}") from None


def parse(text: str) -> Any:
    """The value in `text`.

    Raises `ValueError` where it is not JSON, or holds NaN, infinite or huge numbers, a key twice, or deep nesting:
    what other programs, and the code behind this, would understand in different ways.
    """
    try:
        data = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_constant, parse_int=_whole, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (truncated?): {error}") from None
    except RecursionError:
        raise ValueError(f"lists and objects are nested more than {MAX_DEPTH} deep") from None
    check_depth(data)
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return found


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > LARGEST:
        raise ValueError(f"the number {_shown(digits)} has more than 64 bits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {_shown(digits)} is too large")
    return number


def check_depth(data: Any) -> None:
    """Raise `ValueError` where lists and objects are nested deeper than `MAX_DEPTH`."""
    for depth, _ in enumerate(_levels(data)):
        if depth > MAX_DEPTH:
            raise ValueError(f"lists and objects are nested more than {MAX_DEPTH} deep")


def check_size(data: Any) -> None:
    """Raise `ValueError` for a whole number of more than 64 bits inside `data`: it is printed, priced and stored."""
    for level in _levels(data):
        for value in level:
            if isinstance(value, int) and abs(value) > LARGEST:
                raise ValueError(f"the number {_shown(hex(value))} has more than 64 bits")


def _levels(data: Any) -> Iterator[list[Any]]:
    """The values of `data`, then those inside of its lists and objects, and so on."""
    level = [data]
    while level:
        yield level
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner


def _shown(digits: str) -> str:
    return digits if len(digits) <= 30 else f"{digits[:24]}..."
