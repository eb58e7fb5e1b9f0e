"""Whether a value fits an annotation: the one check of types behind cards, recipes, blocks and files.

Our own and not a validation library's, because a command must start without one more import and because a mistake is
answered in the words of the command line: the key, what it must be, what it was.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`: `Annotated[float, Range(0, 1)]`. `above`, `below`: without that end."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: float) -> bool:
        is_end = (self.above and value == self.low) or (self.below and value == self.high)
        return math.isfinite(value) and self.low <= value <= self.high and not is_end

    def __str__(self) -> str:
        least, most = f"{'>' if self.above else '>='} {self.low:g}", f"{'<' if self.below else '<='} {self.high:g}"
        if math.isinf(self.high):
            return "that is finite" if math.isinf(self.low) else least
        if math.isinf(self.low):
            return most
        return f"{least} and {most}" if self.above or self.below else f"from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Form:
    """Lists of `length` items that messages write as `words`: `Annotated[Sequence[int], Form("[low, high]", 2)]`."""

    words: str
    length: int

    def holds(self, value: Sequence[Any]) -> bool:
        return len(value) == self.length


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]
AboveZero = Annotated[float, Range(0, above=True)]
Share = Annotated[float, Range(0, 1)]

LARGEST = 2**63  # of whole numbers: beyond, the libraries below fail in words of their own
EXACT = 2**53  # whole numbers that a float holds exactly


def check_type(value: Any, annotation: Any, name: str) -> Any:
    """`value`, if it fits `annotation`; a whole number becomes a float and a list a tuple where that is asked.

    Checked are int, float, str, bool, None, `Literal`, unions, lists, tuples and mappings of these; any other
    annotation is left to its owner. Raises `ValueError` naming what `name` must be.
    """
    fits, converted = _fit(value, annotation)
    if fits:
        return converted
    fix = ""
    if isinstance(value, str) and _asks_number(annotation):
        fix = " (a string that looks like a number: drop the quotes)" if _reads_as_number(value) else ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST:
        raise ValueError(f"{name} must be {describe(annotation)} between -2^63 and 2^63, got {value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be {describe(annotation)}, got {value}")
    raise ValueError(f"{name} must be {describe(annotation)}, got {value!r}{fix}")


def describe(annotation: Any) -> str:
    """`annotation` in words a user of the command line understands."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    words = {int: "a whole number", float: "a number", str: "a string", bool: "true or false", type(None): "null"}
    if annotation in words:
        return words[annotation]
    if annotation is None:
        return "null"
    if origin is Annotated:
        forms = [part.words for part in annotation.__metadata__ if isinstance(part, Form)]
        ranges = [str(part) for part in annotation.__metadata__ if isinstance(part, Range)]
        return " ".join([*(forms or [describe(annotation.__origin__)]), *ranges])
    if origin is Literal:
        return "one of " + ", ".join("null" if option is None else str(option) for option in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(option) for option in arguments)
    if is_sequence(origin or annotation):
        inner = [option for option in arguments if option is not Ellipsis]
        if origin is tuple and inner and Ellipsis not in arguments:
            return f"a list of {len(inner)}: " + ", ".join(describe(option) for option in inner)
        return "a list" + (f" with each item {describe(inner[0])}" if inner else "")
    if is_mapping(origin or annotation):
        return "a mapping {key: value}"
    return getattr(annotation, "__name__", str(annotation))


def _fit(value: Any, annotation: Any) -> tuple[bool, Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return value is None, value
    if annotation is bool:
        return isinstance(value, bool), value
    if annotation is int:
        if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:  # 4e6
            return True, int(value)
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST, value
    if annotation is float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            return False, value
        if isinstance(value, int) and abs(value) >= LARGEST:
            return False, value
        return True, float(value)
    if annotation is str:
        return isinstance(value, str), value
    if origin is Annotated:
        fits, converted = _fit(value, annotation.__origin__)
        laws = [part for part in annotation.__metadata__ if isinstance(part, Range | Form)]
        return fits and all(law.holds(converted) for law in laws), converted
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments), value
    if origin in (Union, types.UnionType):
        tries = [_fit(value, option) for option in sorted(arguments, key=lambda option: type(value) is not option)]
        return next((found for found in tries if found[0]), (False, value))
    if is_sequence(origin or annotation):
        return _fit_sequence(value, origin or annotation, arguments)
    if is_mapping(origin or annotation):
        if not isinstance(value, Mapping):
            return False, value
        if len(arguments) != 2:
            return True, value
        items = {key: _fit(item, arguments[1]) for key, item in value.items()}
        return all(fits for fits, _ in items.values()), {key: item for key, (_, item) in items.items()}
    return True, value


def _fit_sequence(value: Any, kind: Any, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return False, value
    if kind is tuple and arguments and Ellipsis not in arguments:
        if len(value) != len(arguments):
            return False, value
        tries = [_fit(item, option) for item, option in zip(value, arguments, strict=True)]
    else:
        tries = [_fit(item, arguments[0] if arguments else Any) for item in value]
    items = [item for _, item in tries]
    return all(fits for fits, _ in tries), tuple(items) if kind is tuple else items


def is_sequence(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Sequence) and not issubclass(kind, str | bytes)


def is_mapping(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Mapping)


def _asks_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(_asks_number(option) for option in get_args(annotation))


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
