"""The code of the user's own that something depends on, as text for identities."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType, ModuleType

OURS = ("nas", "predictors", "search_spaces")
KNOWN = {*OURS, "torch", "timm", "__main__", "__mp_main__", *sys.stdlib_module_names}  # by their first names
INSTALLED = {"site-packages", "dist-packages"}


def code_of(modules: Iterable[str]) -> str:
    """Those of `modules` that are the user's own, each with a digest of its statements as this process first saw them,
    comments and layout left out; and so the modules beside them that they import, as soon as they are imported."""
    names = {name for name in modules if name.partition(".")[0] not in KNOWN}
    waiting = list(names)
    while waiting:
        new = _imported(sys.modules.get(waiting.pop())) - names
        names |= new
        waiting += new
    return ", ".join(f"{name} {_statements(sys.modules.get(name))}" for name in sorted(names))


def other_code(then: str, now: str) -> tuple[str, str] | None:
    """What the text `then` of `code_of` says of modules that have changed or are gone, and what `now` says of these;
    None where there are none. A module that `then` does not name was imported by none of its modules, or not looked at
    by an earlier version; "none" stands for no modules, of which all that are named now are others."""
    known, found = (_digests(text) for text in (then, now))
    if not known:
        return ("none", now) if found else None
    names = [name for name, digest in known.items() if found.get(name) != digest]
    if not names:
        return None
    before, after = (", ".join(f"{name} {of[name]}" for name in names if name in of) for of in (known, found))
    return before, after or "none"


def _digests(text: str) -> dict[str, str]:
    """By module, those in a text of `code_of`. An earlier version named modules of Python's own in it, too: an
    activation that is a `functools.partial` is of `functools`."""
    entries = (entry.rpartition(" ")[::2] for entry in text.split(", "))
    return {name: digest for name, digest in entries if name and name.partition(".")[0] not in KNOWN}


def modules_behind(value: object) -> set[str]:
    """The modules that define the class of `value`, what that is derived from, and those of the objects it holds."""
    found: set[str] = set()
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type | FunctionType):
            found.add(one.__module__)
        elif isinstance(one, Mapping):
            waiting += one.values()
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        elif type(one).__module__ != "builtins":
            found |= {kind.__module__ for kind in type(one).__mro__}
            waiting += getattr(one, "__dict__", {}).values()
    return {name for name in found if name.partition(".")[0] not in KNOWN}


@functools.cache  # the file may be edited while the code that was read from it runs
def _statements(module: ModuleType | None) -> str:
    tree = _tree(module)
    return "unknown" if tree is None else hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:8]


@functools.cache
def _imported(module: ModuleType | None) -> set[str]:
    """The modules that `module` imports when it is imported and that lie beside it: a block kind's `nn.Module` may be
    in another file than what says of which kind it is."""
    tree = _tree(module)
    if module is None or tree is None:
        return set()
    root, first = _root(module), module.__name__.partition(".")[0]
    is_installed = root is not None and INSTALLED & set(root.parts)
    found = set[str]()
    for name in _names(tree, module.__package__ or ""):
        top = name.partition(".")[0]
        if top in KNOWN or (is_installed and top != first):
            continue
        if root is not None and (other := sys.modules.get(name)) is not None and _root(other) == root:
            found.add(name)
    return found


def _names(tree: ast.AST, package: str) -> Iterator[str]:
    """What the statements of `tree` import that run when it is imported; names that are of no module, too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):  # relative, outside of a package, where it fails too
                base = resolve_name("." * node.level + (node.module or ""), package)
                yield from (base, *(f"{base}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif isinstance(node, ast.stmt | ast.ExceptHandler) and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef
        ):
            yield from _names(node, package)


def _root(module: ModuleType) -> Path | None:
    """The folder that the outermost package of `module` lies in; None where it is of no file."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    inner = module.__name__.count(".") + (path.stem == "__init__")
    return path.parents[inner] if inner < len(path.parents) else None


def _tree(module: ModuleType | None) -> ast.Module | None:
    """The statements of `module`; None where it has no source, or none that can be read now."""
    try:
        return ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    except (OSError, SyntaxError, TypeError, ValueError):
        return None
