"""Torch modules defined beside their data, so that reading an arch or pricing it does not wait for torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def torch_class(define: Callable[[], type[nn.Module]]) -> Callable[[], type[nn.Module]]:
    """Decorator of a function that imports torch and defines one module class: it is made once, at the first call."""

    @cache
    def made() -> type[nn.Module]:
        found = define()
        found.__module__, found.__qualname__ = define.__module__, found.__name__
        return found

    return made


def attributes(file: str, **classes: Callable[[], type[nn.Module]]) -> Callable[[str], Any]:
    """The `__getattr__` of the module `file`: its torch classes by name, so that imports and pickle find them."""

    def getattribute(name: str) -> Any:
        if name not in classes:
            raise AttributeError(f"module {file!r} has no attribute {name!r}")
        return classes[name]()

    return getattribute
