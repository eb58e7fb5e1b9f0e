"""Neural architecture search that measures your device and meets your latency budget.

`nas.run_search`, `nas.derive_from` and `nas.train_arch` do what the commands do (docs/python.md). `nas.create_model`
makes a network from a published name, an arch file or a model folder. After `import nas`, timm
knows such networks too: `timm.create_model("nas_net", arch=...)`, `timm.create_model("local-dir:<model folder>")`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.api import build_table, derive_from, evaluate_model, export_model, run_search, train_arch
    from nas.networks.creation import create_model

__version__ = version("nas-under-budget")
__all__ = [
    "__version__",
    "build_table",
    "create_model",
    "derive_from",
    "evaluate_model",
    "export_model",
    "run_search",
    "train_arch",
]


def __getattr__(name: str) -> Any:
    """The functions of `__all__`, imported when they are first asked for: torch takes seconds."""
    if name in __all__:
        module = "nas.networks.creation" if name == "create_model" else "nas.api"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'nas' has no attribute {name!r}")


class _AfterTimm(MetaPathFinder):
    """Registers our networks with timm as soon as timm is imported.

    Importing timm takes seconds, so `import nas` (and every `python -m nas...`) leaves it to those who need it.
    """

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


if "timm" in sys.modules:
    importlib.import_module("nas.networks.timm_entry")
else:
    sys.meta_path.insert(0, _AfterTimm())
