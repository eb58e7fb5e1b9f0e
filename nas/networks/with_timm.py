"""timm comes to know our networks as soon as it is imported, which takes seconds and is left to those who need it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def register_with_timm() -> None:
    """Registers our networks with timm: at once where it is imported already, else when it will be."""
    if "timm" in sys.modules:
        importlib.import_module("nas.networks.timm_entry")
    else:
        sys.meta_path.insert(0, _AfterTimm())


class _AfterTimm(MetaPathFinder):
    """Adds our entry to timm's registry when timm has been imported."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "timm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_then_register(module: ModuleType) -> None:
                execute(module)
                importlib.import_module("nas.networks.timm_entry")

            spec.loader.exec_module = execute_then_register  # type: ignore[method-assign]
        return spec
