"""Records that we wrote and read back: every field has a type and a range, whoever had the file in hand since.

One reader for every kind of file: a schema beside the code that writes the file, and

    found = read_record(path, "derived networks", {"rounds": Count, "networks": list[dict]})
    rows = [record(row, ROW, f"derived networks {path}: a network") for row in found["networks"]]

`files.read_json` has refused by then what is not plain data: NaN, a key twice, numbers beyond 64 bits, deep nesting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from nas.runs.files import read_json
from search_spaces.plain_data.annotations import Count as Count
from search_spaces.plain_data.annotations import NonNegative as NonNegative
from search_spaces.plain_data.annotations import Positive as Positive
from search_spaces.plain_data.annotations import Range, check_type
from search_spaces.plain_data.annotations import Share as Share

Schema = Mapping[str, Any]
"""From the name of a field to the annotation that its value must fit; `| None` also allows it to be missing.

A range belongs to the annotation, also inside lists and mappings: `list[Annotated[float, Range(0, 1)]]`.
"""

Milliseconds = Annotated[float, Range(1e-9)]  # of something that takes time
Percent = Annotated[float, Range(0, 100)]


def read_record(path: str | Path, what: str, schema: Schema) -> dict[str, Any]:
    """The JSON object in `path`; `what` names the kind of file. Raises `ValueError` naming file, field and fault."""
    return record(read_json(path, what), schema, f"{what} {path}")


def record(data: Any, schema: Schema, what: str) -> dict[str, Any]:
    """`data` with every field of `schema`, those missing as None; fields that it does not know stay as they are.

    Raises `ValueError` where `data` is not a mapping, and for a field that does not fit or holds an infinite number.
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
