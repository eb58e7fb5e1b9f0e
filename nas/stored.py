"""Records that we wrote and read back: every field has a type, whoever had the file in hand since."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.cards import check_type
from nas.files import read_json

Schema = Mapping[str, Any]
"""From the name of a field to the annotation that its value must fit; `| None` also allows it to be missing."""


def read_record(path: str | Path, what: str, schema: Schema) -> dict[str, Any]:
    """The JSON object in `path`; `what` names the kind of file. Raises `ValueError` naming file, field and fault."""
    return record(read_json(path, what), schema, f"{what} {path}")


def record(data: Any, schema: Schema, what: str) -> dict[str, Any]:
    """`data` with every field of `schema`, those missing as None; fields that it does not know stay as they are.

    Raises `ValueError` where `data` is no mapping, and for a field that does not fit or holds an infinite number.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{what} must be an object, got {str(data)[:40]!r}; it is damaged or none of ours")
    found = dict(data)
    for name, annotation in schema.items():
        value = check_type(data.get(name), annotation, f"{what}: {name}")
        if isinstance(value, float) and math.isinf(value):
            raise ValueError(f"{what}: {name} must be finite, got {value}")
        found[name] = value
    return found
