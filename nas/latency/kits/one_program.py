"""Modules of ours as one program that runs where we are not installed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from types import ModuleType


def one_program(modules: Sequence[ModuleType], comment: str) -> str:
    """The source of `modules`, each of which uses those before it alone, without their imports of each other."""
    parts = [f"# {comment}", "from __future__ import annotations"]
    for module in modules:
        source = inspect.getsource(module)
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("__future__", "nas"):
                lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"
