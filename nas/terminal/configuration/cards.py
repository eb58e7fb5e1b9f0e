"""Cards: the yaml entries that name a Python object by `_target_` and give its arguments, checked before the call."""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nas.terminal.configuration.card_roles import ROLES, check_given, check_made, check_places, check_target
from nas.terminal.configuration.moved_targets import MOVED
from search_spaces import plain_json


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`: `Annotated[float, Range(0, 1)]`."""

    low: float = -math.inf
    high: float = math.inf

    def holds(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        if math.isinf(self.high):
            return "that is finite" if math.isinf(self.low) else f">= {self.low:g}"
        return f"<= {self.high:g}" if math.isinf(self.low) else f"from {self.low:g} to {self.high:g}"


LARGEST = 2**63  # of whole numbers: beyond, the libraries below fail in words of their own
PLAIN = (Mapping, list, tuple, str, int, float, bool)  # what a configuration of cards and settings holds
EXACT = 2**53  # whole numbers that a float holds exactly


def build(card: Any, name: str, extra: Mapping[str, Any]) -> Any:
    """The object a card describes: its `_target_` called with its values and `extra`. `name` is said in errors."""
    if not isinstance(card, Mapping) or "_target_" not in card:
        raise ValueError(f"{name or 'the card'} names no _target_, so nothing can be built from it")
    if name in ROLES:
        check_places({name: card})
    target = find_target(card["_target_"], name)
    check_target(name, target, card["_target_"])
    signature = parameters(target)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.values())
    hints = argument_types(target)
    prefix = f"{name}." if name else ""
    values: dict[str, Any] = {}
    for key, value in card.items():
        if key == "_target_":
            continue
        if key in extra or (key not in signature and not open_ended):
            options = [option for option in signature if option not in extra]
            raise ValueError(f"there is no key {prefix}{key}; {_options(key, options, prefix)}")
        if isinstance(value, dict | list):  # what the annotation leaves to its owner holds numbers that can be counted
            try:
                plain_json.check_size(value)
            except ValueError as error:
                raise ValueError(f"{prefix}{key}: {error}") from None
        if isinstance(value, Mapping) and "_target_" in value and not _is_plain(hints.get(key, Any)):
            values[key] = build(value, f"{prefix}{key}", {})
        else:
            values[key] = check_type(value, hints.get(key, Any), f"{prefix}{key}")
    needed = [
        key
        for key, parameter in signature.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        and key not in values
        and key not in extra
    ]
    if needed:
        raise ValueError(f"{prefix}{needed[0]} has no value; give it: {prefix}{needed[0]}=...")
    made = target(**values, **extra)
    check_made(name, made, card["_target_"])
    return made


def given(value: Any, name: str, extra: Mapping[str, Any] | None = None) -> Any:
    """What stands for `name` in a configuration: the object of a card (`build`), or an object a program gave itself."""
    if value is None or isinstance(value, PLAIN):
        return build(value, name, extra or {})
    check_given(name, value)
    return value


def module_name(card: Any) -> str:
    """What a card or an object is called after: the module of its class, or in a script the class."""
    path = card["_target_"] if isinstance(card, Mapping) else target_path(type(card))
    module, _, name = path.rpartition(".")
    return name.lower() if module == "__main__" else module.rpartition(".")[2]


def target_path(target: Any) -> str:
    """The dotted path of a class or function, as `_target_` names it."""
    return f"{target.__module__}.{target.__qualname__}"


def without_objects(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` as plain data: of objects that a program gave instead of cards, the names of their classes."""
    return {
        key: value if value is None or isinstance(value, PLAIN) else {"_target_": target_path(type(value))}
        for key, value in config.items()
    }


def find_target(path: Any, name: str = "") -> Callable[..., Any]:
    """The class or function at the dotted `path`."""
    where = f"{name}._target_" if name else "_target_"
    module, _, attribute = MOVED.get(path, path).rpartition(".") if isinstance(path, str) else ("", "", "")
    if not module or not attribute:
        raise ValueError(f"{where} must be package.module.name, got {path!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is not None and not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{where}={path} needs the package {error.name!r}, which is not installed") from None
        raise ValueError(f"{where}={path}: there is no module {error.name}") from None
    except AttributeError:
        raise ValueError(f"{where}={path}: module {module} has no {attribute}") from None
    if not callable(found):
        raise ValueError(f"{where}={path} is neither a class nor a function")
    return found


def parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters a caller of `target` gives, by name."""
    return dict(inspect.signature(target).parameters)


def argument_types(target: Callable[..., Any]) -> dict[str, Any]:
    """The resolved annotations of a function's arguments or of a class's constructor."""
    if not inspect.isclass(target):
        return get_type_hints(target)
    fields = get_type_hints(target) if hasattr(target, "__dataclass_fields__") else {}
    return fields | get_type_hints(target.__init__)


def check_type(value: Any, annotation: Any, name: str) -> Any:
    """`value`, if it fits `annotation`; a whole number becomes a float and a list a tuple where that is asked.

    Checked are int, float, str, bool, None, `Literal`, unions, lists, tuples and mappings of these; any other
    annotation is left to its owner. Raises `ValueError` naming what `name` must be.
    """
    fits, converted = _fit(value, annotation)
    if fits:
        return converted
    cure = ""
    if isinstance(value, str) and _asks_number(annotation):
        cure = " (a text that looks like a number: drop the quotes)" if _reads_as_number(value) else ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= LARGEST:
        raise ValueError(f"{name} must be {describe(annotation)} between -2^63 and 2^63, got {value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be {describe(annotation)}, got {value}")
    raise ValueError(f"{name} must be {describe(annotation)}, got {value!r}{cure}")


def describe(annotation: Any) -> str:
    """`annotation` in words a user of the command line understands."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "null"}
    if annotation in words:
        return words[annotation]
    if annotation is None:
        return "null"
    if origin is Annotated:
        ranges = [str(part) for part in annotation.__metadata__ if isinstance(part, Range)]
        return " ".join([describe(annotation.__origin__), *ranges])
    if origin is Literal:
        return "one of " + ", ".join("null" if option is None else str(option) for option in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(option) for option in arguments)
    if _is_sequence(origin or annotation):
        inner = [option for option in arguments if option is not Ellipsis]
        if origin is tuple and inner and Ellipsis not in arguments:
            return f"a list of {len(inner)}: " + ", ".join(describe(option) for option in inner)
        return "a list" + (f" with each item {describe(inner[0])}" if inner else "")
    if _is_mapping(origin or annotation):
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
        ranges = [part for part in annotation.__metadata__ if isinstance(part, Range)]
        return fits and all(part.holds(converted) for part in ranges), converted
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in arguments), value
    if origin in (Union, types.UnionType):
        tries = [_fit(value, option) for option in sorted(arguments, key=lambda option: type(value) is not option)]
        return next((found for found in tries if found[0]), (False, value))
    if _is_sequence(origin or annotation):
        return _fit_sequence(value, origin or annotation, arguments)
    if _is_mapping(origin or annotation):
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


def _is_sequence(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Sequence) and not issubclass(kind, str | bytes)


def _is_mapping(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Mapping)


def _is_plain(annotation: Any) -> bool:
    """Whether values of `annotation` are plain data, so that no card can stand for one."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return all(_is_plain(option) for option in arguments)
    kind = origin or annotation
    plain = (int, float, str, bool, None, type(None), Literal)
    return kind in plain or _is_sequence(kind) or _is_mapping(kind)


def _asks_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(_asks_number(option) for option in get_args(annotation))


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _options(word: str, options: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(word, options, n=2)
    if near:
        return f"did you mean {' or '.join(prefix + option for option in near)}?"
    return f"the keys are {', '.join(options)}" if options else "it takes no keys"
