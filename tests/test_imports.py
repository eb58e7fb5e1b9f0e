"""Imports point one way: search_spaces < predictors < nas < experiments; only the command line knows Hydra."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LEVELS = {"search_spaces": 0, "predictors": 1, "nas": 2, "experiments": 3}
COMMAND_LINE = {f"nas/{name}.py" for name in ("cli", "command_help", "composition", "mistakes", "stored_config")}
FILES = sorted(path.relative_to(ROOT).as_posix() for package in LEVELS for path in (ROOT / package).rglob("*.py"))


def imported(source: str) -> set[str]:
    """The absolute module names a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            names.add(node.module or "")
    return names


def test_the_walk_sees_every_form() -> None:
    source = "import a.b as c\nfrom d.e import f\ndef g():\n    import h\n"
    assert imported(source) == {"a.b", "d.e", "h"}
    assert len(FILES) > 30


@pytest.mark.parametrize("file", FILES)
def test_imports_point_down(file: str) -> None:
    level = LEVELS[file.split("/")[0]]
    for name in imported((ROOT / file).read_text()):
        package = name.split(".")[0]
        assert LEVELS.get(package, -1) <= level, f"{file} imports {name}"
        assert package != "tests", f"{file} imports {name}"
        if package in ("hydra", "omegaconf"):
            entry_point = "@entry(" in (ROOT / file).read_text()
            assert file in COMMAND_LINE or entry_point, f"{file} imports {name}; only entry points know it"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("nas/")])
def test_only_entry_points_import_the_command_line(file: str) -> None:
    source = (ROOT / file).read_text()
    if "nas.cli" in imported(source) and file not in COMMAND_LINE:
        assert "@entry(" in source, f"{file} imports nas.cli but is no entry point"


def test_parts_of_nas_do_not_reach_up() -> None:
    """What is measured and optimised knows nothing of the methods that use it."""
    for file in FILES:
        if file.startswith("nas/latency/") or file in ("nas/supernet.py", "nas/objectives.py", "nas/network.py"):
            reached = {name for name in imported((ROOT / file).read_text()) if name.startswith("nas.methods")}
            assert not reached, f"{file} imports {reached}"
