"""The documentation as a site: every page is in it, every public name in its reference, and its notebooks run."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import GenericAlias
from typing import Any

import pytest

from nas.terminal.configuration.plain_yaml import read_yaml
from tests.test_docs import PAGES, ROOT, blocks

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
ENTRY = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
OPENED = ("nas", "nas.data", "nas.latency.devices", "search_spaces", "search_spaces.blocks")  # by their `__all__`
OPENED += ("predictors.process", "predictors.fbnetv3")
OURS = ("nas", "search_spaces", "predictors")
IN_WORDS = {"nas.__version__"}
RAISES = re.compile(r"[Rr]aise|[Rr]efuse")


def reference() -> list[str]:
    return [name for page in sorted((ROOT / "docs" / "api").glob("*.md")) for name in ENTRY.findall(page.read_text())]


def public() -> set[str]:
    """What packages open by `__all__`, and what the examples of the pages import from them."""
    found = {f"{module}.{name}" for module in OPENED for name in importlib.import_module(module).__all__}
    for page in PAGES:
        for block in blocks(page, "python"):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in OURS:
                    found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found - IN_WORDS


def the(name: str) -> Any:
    """What `name` stands for: a thing in a module, or a module."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute, None) or importlib.import_module(name)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def defined(name: str) -> tuple[ast.AST | None, str]:
    """Where `name` is defined, and what stands there of it: its docstring, or the text below an assignment."""
    found = the(name)
    if inspect.ismodule(found):
        return None, inspect.getdoc(found) or ""
    module, _, attribute = name.rpartition(".")
    if inspect.isfunction(found) or (inspect.isclass(found) and not isinstance(found, GenericAlias)):
        module, attribute = found.__module__, found.__qualname__
    body = tree(module).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == attribute:
            return node, ast.get_docstring(node) or ""
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if attribute in [getattr(target, "id", None) for target in targets]:
            text = below.value if isinstance(below, ast.Expr) else None
            return node, str(text.value) if isinstance(text, ast.Constant) else ""
    raise AssertionError(f"{name} is not defined in {module}: give it in the reference by where it is")


def raising(node: ast.AST | None) -> bool:
    """Whether a function raises something itself, or a class when it is made."""
    if isinstance(node, ast.ClassDef):
        made = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name in ("__init__", "__post_init__")]
        return any(raising(function) for function in made)
    return isinstance(node, ast.FunctionDef) and any(isinstance(inner, ast.Raise) for inner in ast.walk(node))


def test_every_public_name_is_in_the_reference_once() -> None:
    names = reference()
    assert len(names) == len(set(names)) > 60
    known = {id(the(name)) for name in names}
    missing = [name for name in sorted(public()) if id(the(name)) not in known]
    assert not missing, f"no page of docs/api has {', '.join(missing)}"


@pytest.mark.parametrize("name", reference())
def test_what_is_in_the_reference_says_what_it_is_and_when_it_raises(name: str) -> None:
    node, text = defined(name)
    assert len(text) > 20, f"{name} is not described"
    assert not raising(node) or RAISES.search(text), f"{name} raises and does not say when"


def test_every_page_is_in_the_navigation() -> None:
    """And nothing else is: pages of the project outside of docs/ stand below `project/`."""
    found: list[str] = []

    def walk(entry: Any) -> None:
        for inner in entry if isinstance(entry, list) else entry.values() if isinstance(entry, dict) else ():
            walk(inner)
        if isinstance(entry, str):
            found.append(entry)

    walk(read_yaml((ROOT / "mkdocs.yml").read_text())["nav"])
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    inside = [page for page in found if not page.startswith("project/")]
    assert len(found) == len(set(found)) and not set(inside) ^ pages, f"in nav of mkdocs.yml: {set(inside) ^ pages}"
    for page in found:
        assert not page.startswith("project/") or (ROOT / page.removeprefix("project/")).is_file(), page


def built(site: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What `make docs` runs, writing to `site`."""
    pytest.importorskip("mkdocs")
    words = re.search(r"-m (mkdocs build.*)", (ROOT / "Makefile").read_text())
    assert words is not None
    command = [sys.executable, "-m", *words[1].split(), "--site-dir", str(site), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ("[a](other.md), [b](other.md#here)", []),
        (
            "[a](none.md), [b](other.md#gone)",
            ["links to 'none.md', which is not there", "does not contain an anchor '#gone'"],
        ),
    ],
)
def test_what_leads_nowhere_fails_the_build(tmp_path: Path, links: str, said: list[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# A page\n\n{links}\n")
    (tmp_path / "docs" / "other.md").write_text("# Other\n\n## Here\n")
    hooks = (ROOT / "docs" / "site" / "hooks.py").read_text()
    (tmp_path / "hooks.py").write_text(hooks.replace("ROOT = Path(", f'ROOT = Path("{tmp_path}")  # Path('))
    settings = (ROOT / "mkdocs.yml").read_text().partition("nav:\n  -")[0]
    settings = settings.replace("docs/site/hooks.py", "hooks.py").replace("paths: [.]", f"paths: [{ROOT}]")
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = built(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert (done.returncode == 0) == (not said) and all(words in done.stderr for words in said), done.stderr[-3000:]


@pytest.mark.slow
def test_the_site_is_built_strictly(tmp_path: Path) -> None:
    """Links, anchors and the reference are whole, and no page loads anything from elsewhere."""
    done = built(tmp_path / "site")
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES) / 2
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|link|iframe)[^>]+(?:src|href)=[\"']?(https?://[^\"' >]+)", page.read_text()
        )
        assert not loaded, f"{page.name} loads {loaded[0]}"


def code(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_are_stored_without_outputs_and_parse(notebook: Path) -> None:
    cells = json.loads(notebook.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
    for source in code(notebook):
        ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_notebooks_run(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    document = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(document, timeout=1800, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(cell["execution_count"] for cell in document["cells"] if cell["cell_type"] == "code")
