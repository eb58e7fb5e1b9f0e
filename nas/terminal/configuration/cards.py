"""Cards: the yaml entries that name a Python object by `_target_` and give its arguments, checked before the call."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nas.terminal.configuration.card_roles import ROLES, check_given, check_made, check_places, check_target
from nas.terminal.configuration.moved_targets import MOVED
from search_spaces.plain_data import plain_json
from search_spaces.plain_data.annotations import check_type, is_mapping, is_sequence
from search_spaces.resolution import Pixels, Resolution, canonical

PLAIN = (Mapping, list, tuple, str, int, float, bool)  # what a configuration of cards and settings holds


def build(card: Any, name: str, extra: Mapping[str, Any]) -> Any:
    """The object a card describes: its `_target_` called with its values and `extra`. `name` is said in errors."""
    target, values = _call_of(card, name, extra, build)
    made = target(**values, **extra)
    check_made(name, made, card["_target_"])
    return made


def check(card: Any, name: str) -> None:
    """Refuse what `build` would refuse before it calls anything: unknown keys, values of another type."""
    _call_of(card, name, {}, lambda inner, key, _: check(inner, key))


def resolution(card: Mapping[str, Any], name: str) -> Resolution | None:
    """The resolution that a card gives; None where it leaves it open."""
    given, key = card.get("resolution"), f"{name}.resolution"
    return None if given is None else canonical(check_type(given, Pixels, key), key)


def _call_of(
    card: Any, name: str, extra: Mapping[str, Any], inner: Callable[..., Any]
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The target of `card` and its arguments; `inner(card, name, {})` makes those that are cards again."""
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
            values[key] = inner(value, f"{prefix}{key}", {})
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
    return target, values


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
    """The resolved annotations of a function's arguments or of a class's constructor.

    A name that its module imports for type checkers only cannot be resolved; that argument is `Any`.
    """
    function = target.__init__ if inspect.isclass(target) else target
    found = _resolved(getattr(function, "__annotations__", {}), getattr(inspect.unwrap(function), "__globals__", {}))
    if inspect.isclass(target) and dataclasses.is_dataclass(target):
        for base in reversed(target.__mro__):  # fields that are inherited belong to the module of their own class
            found |= _resolved(inspect.get_annotations(base), vars(sys.modules[base.__module__]))
    return found


def _resolved(annotations: Mapping[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, annotation in annotations.items():
        try:
            found[key] = eval(annotation, names) if isinstance(annotation, str) else annotation
        except (NameError, AttributeError, TypeError):
            found[key] = Any
    return found


def _is_plain(annotation: Any) -> bool:
    """Whether values of `annotation` are plain data, so that no card can stand for one."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return all(_is_plain(option) for option in arguments)
    if origin is Annotated:
        return _is_plain(arguments[0])
    kind = origin or annotation
    plain = (int, float, str, bool, None, type(None), Literal)
    return kind in plain or is_sequence(kind) or is_mapping(kind)


def _options(word: str, options: list[str], prefix: str) -> str:
    near = difflib.get_close_matches(word, options, n=2)
    if near:
        return f"did you mean {' or '.join(prefix + option for option in near)}?"
    return f"the keys are {', '.join(options)}" if options else "it takes no keys"
