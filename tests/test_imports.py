"""Imports point one way, between packages and inside them, without circles; only the command line knows Hydra."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"search_spaces": 0, "predictors": 1, "nas": 2, "experiments": 3}
# Each may import what stands before it; the command of a room may stand behind rooms whose outcomes it takes. Settings
# and progress lie below the run directories that use them, and `nas.terminal` itself, the command line that reads run
# directories, above.
ROOMS = [
    *("terminal.configuration", "terminal.progress", "runs", "terminal", "data", "networks", "latency", "train"),
    *("methods", "methods.candidates", "derive", "report", "train.__main__", "search"),
    *("latency.run", "latency.__main__"),
    *("export", "evaluate", "inspect", "zoo", "status", "doctor", "new"),
]
COMMAND_LINE = ("nas/terminal/",)
FILES = sorted(path.relative_to(ROOT).as_posix() for package in LEVELS for path in (ROOT / package).rglob("*.py"))
SOURCES = {file: (ROOT / file).read_text() for file in FILES}


def module_of(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


MODULES = {module_of(file): file for file in FILES}


def imported(source: str) -> set[str]:
    """The absolute module names a file imports, wherever in it: inside functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            inside = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            rest = len(inside) < len(node.names)
            names |= inside | ({node.module or ""} if rest else set())
    return names


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports. Not found at once: all processes that run tests read this file."""
    return {module: imported(SOURCES[file]) for module, file in MODULES.items()}


def room_of(module: str) -> int | None:
    """The place of a module of `nas` in ROOMS; None for `nas` itself, which opens them all."""
    inside = module.removeprefix("nas.")
    found = [i for i, room in enumerate(ROOMS) if inside == room or inside.startswith(f"{room}.")]
    return max(found, key=lambda i: len(ROOMS[i])) if found else None


def test_the_walk_sees_every_form() -> None:
    source = "import a.b as c\nfrom d.e import f\nfrom nas.runs import files\ndef g():\n    import h\n"
    assert imported(source) == {"a.b", "d.e", "nas.runs.files", "h"}
    assert len(FILES) > 30
    assert room_of("nas.terminal.entry") != room_of("nas.terminal.configuration.cards")


def test_imports_point_down() -> None:
    wrong = []
    for file, source in SOURCES.items():
        level = LEVELS[file.split("/")[0]]
        for name in imports()[module_of(file)]:
            package = name.split(".")[0]
            if LEVELS.get(package, -1) > level or package == "tests":
                wrong.append(f"{file} imports {name}")
            if package in ("hydra", "omegaconf") and not file.startswith(COMMAND_LINE) and "@entry(" not in source:
                wrong.append(f"{file} imports {name}; only entry points know it")
    assert not wrong, "\n".join(wrong)


def test_rooms_of_nas_are_used_in_one_order() -> None:
    wrong = []
    for module in MODULES:
        room = room_of(module)
        if not module.startswith("nas.") or room is None:
            continue
        for name in imports()[module]:
            below = room_of(name) if name.startswith("nas.") else None
            if below is not None and below > room:
                wrong.append(f"{module} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_room_of_nas_has_a_place() -> None:
    lost = [module for module in MODULES if module.startswith("nas.") and room_of(module) is None]
    assert lost == ["nas.__main__"]


def test_no_import_circle() -> None:
    graph = {
        module: {name for name in names if name in MODULES and name != module} for module, names in imports().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_entry_points_import_the_command_line() -> None:
    theirs = [file for file, source in SOURCES.items() if "@entry(" in source or file.startswith(COMMAND_LINE)]
    users = [file for file in FILES if file.startswith("nas/") and "nas.terminal.entry" in imports()[module_of(file)]]
    assert len(users) > 10
    wrong = set(users) - set(theirs)
    assert not wrong, f"these import nas.terminal.entry but are no entry points: {', '.join(sorted(wrong))}"


def test_rooms_stay_small() -> None:
    """A reader finds a file by its name: few entries at the top, few files a folder."""
    top = sorted(path.name for path in (ROOT / "nas").iterdir() if path.name != "__pycache__")
    assert len(top) <= 20, top  # with __init__.py, __main__.py and py.typed
    for folder in {(ROOT / file).parent for file in FILES if not file.startswith("experiments/")}:
        files = [path.name for path in folder.glob("*.py")]
        assert len(files) <= 14, f"{folder.relative_to(ROOT)}: {sorted(files)}"
