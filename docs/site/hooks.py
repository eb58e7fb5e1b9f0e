"""What the documentation site adds to mkdocs (`mkdocs.yml`): pages from outside of `docs/`, and equations.

The pages are written to be read where they lie, so they link to the README, to experiments and to source files. Pages
and pictures that are linked to join the site below `project/`, links follow them, and a link to anything else becomes
plain text. Equations become MathML, which browsers show by themselves: the site asks no other server for anything.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS, PROJECT = "docs", "project"
CODE = re.compile(r"(^```.*?^```[^\n]*$|`(?:[^`\n]|\n(?!\n))+`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<!\$)\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\$)")
LOG = get_plugin_logger(__name__)  # its warnings fail a strict build
SHOWN = (".md", ".png", ".svg", ".ipynb")


def on_files(files: Files, config: Any) -> Files:
    """Add what the pages link to outside of `docs/`, and what those pages link to in their turn."""
    waiting = [f"{DOCS}/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        for target in _targets(page):
            if target in seen:
                continue
            seen.add(target)
            if not target.startswith(f"{DOCS}/"):
                files.append(File.generated(config, _place(target), abs_src_path=str(ROOT / target)))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """`markdown` with links to where things lie in the site, and with equations as MathML."""
    here = page.file.src_uri
    source = here.removeprefix(f"{PROJECT}/") if here.startswith(f"{PROJECT}/") else f"{DOCS}/{here}"

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        lies = _lies(source, target)
        if lies is None:
            if not (ROOT / posixpath.dirname(source) / target).exists():
                LOG.warning(f"{source} links to '{target}', which is not there")
            return text
        return f"[{text}]({posixpath.relpath(_place(lies), posixpath.dirname(here) or '.')}{anchor})"

    def prose(text: str) -> str:
        text = LINK.sub(link, text)
        text = BLOCK.sub(lambda found: f"\n{convert(found[1].strip(), display='block')}\n", text)
        # In a span: a line that begins with <math> would be a block of its own.
        return INLINE.sub(lambda found: f"<span>{convert(found[1])}</span>", text)

    return _outside_code(markdown, prose)


def _targets(page: str) -> list[str]:
    """Pages and pictures that `page` links to, as paths below the root."""
    found: list[str] = []

    def note(text: str) -> str:
        for _, target, _ in LINK.findall(text):
            if "://" not in target and (lies := _lies(page, target)) is not None:
                found.append(lies)
        return text

    _outside_code((ROOT / page).read_text(encoding="utf-8"), note)
    return found


def _lies(source: str, target: str) -> str | None:
    """The file that a link of `source` leads to, where the site shows it; of a folder, its README."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if (ROOT / path / "README.md").is_file():
        path = f"{path}/README.md"
    return path if path.endswith(SHOWN) and (ROOT / path).is_file() else None


def _place(path: str) -> str:
    """Where a file of the project stands in the site."""
    return path.removeprefix(f"{DOCS}/") if path.startswith(f"{DOCS}/") else f"{PROJECT}/{path}"


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """`markdown` with `change` made of all that is no code. (`CODE` has one group: code stands at odd places.)"""
    parts = CODE.split(markdown)
    return "".join(part if i % 2 else change(part) for i, part in enumerate(parts))
