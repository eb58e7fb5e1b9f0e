"""The files of docs/extending.md, as its reader writes them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.latency import runtimes
from search_spaces.blocks import KINDS, activations
from tests.test_docs import blocks

PAGE = "docs/extending.md"
FILE = re.compile(r"# (\S+\.(?:yaml|py))\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the page: code blocks that begin with their path."""
    for language in ("yaml", "python"):
        for block in blocks(PAGE, language):
            if found := FILE.match(block):
                path = tmp_path / found[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block)
    return tmp_path


@pytest.fixture
def mine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the page; what it registers is forgotten afterwards, as modules of other tests are before."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(runtimes, "_OWN", {})
    forget()
    registries: list[dict[str, Any]] = [activations.ACTIVATIONS, KINDS]
    before = [dict(registry) for registry in registries]
    yield importlib.import_module
    for registry, kept in zip(registries, before, strict=True):
        registry.clear()
        registry.update(kept)
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]
