"""Fields of dataclasses read from plain data: every value is of the type that the field states, or refused in words."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from search_spaces.plain_data.annotations import check_type


class DataclassInstance(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T", bound=DataclassInstance)


def read(cls: type[T], data: Mapping[str, Any], owner: str) -> T:
    """The object of the dataclass `cls` whose fields `data` gives. `owner` begins what is said where it is none."""
    known = types_of(cls)
    unknown = sorted(str(name) for name in data if name not in known)
    if unknown:
        raise ValueError(f"{owner} has no field {unknown[0]!r}; it has {', '.join(known)}")
    needed = [field.name for field in dataclasses.fields(cls) if _is_needed(field) and field.name not in data]
    if needed:
        raise ValueError(f"{owner} is incomplete: it needs {', '.join(needed)}")
    return cls(**{name: check(value, known[name], f"{owner}: {name}") for name, value in data.items()})


def check_fields(made: DataclassInstance, owner: str) -> None:
    """Refuse a value of the dataclass object `made` that its field's annotation does not allow, ranges included."""
    for name, annotation in _laws_of(type(made)).items():
        check_type(getattr(made, name), annotation, f"{owner}.{name}")


@lru_cache(maxsize=64)
def _laws_of(cls: type[DataclassInstance]) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@lru_cache(maxsize=64)
def types_of(cls: type[DataclassInstance]) -> dict[str, Any]:
    """The annotation of each field of a dataclass, resolved."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def check(value: Any, annotation: Any, name: str) -> Any:
    """`value`, if `annotation` allows it; a mapping becomes the dataclass that is asked, a list the tuple.

    Raises `ValueError` naming what `name` must be.
    """
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    for option in options:
        if dataclasses.is_dataclass(option) and isinstance(option, type):
            if isinstance(value, Mapping):
                return read(option, value, name)
            if isinstance(value, option) or (value is None and type(None) in options):
                return value
            none = " or null" if type(None) in options else ""
            raise ValueError(f"{name} must be the fields of {option.__name__}{none}, got {value!r}")
    return check_type(value, annotation, name)


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
