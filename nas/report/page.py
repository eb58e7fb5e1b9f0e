"""A self-contained page: its style inside, headings that can be linked to, and nothing that is loaded or run.

Not Jinja2: every part of a page is there or not, depending on what a run left behind, so a template would consist of
conditions; here each part is a function that gives its HTML, or an empty string.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("run_page.css")
HEADING = re.compile(r"<h2>(.*?)</h2>")
LINKED = 5  # sections from which on a page begins with links to them


def page(title: str, head: str, sections: str, more_style: str = "") -> str:
    """The whole page: `head` (with the only h1), links to its `sections`, and these."""
    names: dict[str, str] = {}

    def anchored(match: re.Match[str]) -> str:
        words = re.sub("<.*?>", "", match[1])
        anchor = re.sub("[^a-z0-9]+", "-", words.lower()).strip("-")
        while anchor in names:
            anchor += "-again"
        names[anchor] = words
        return f'<h2 id="{anchor}">{match[1]}</h2>'

    body = HEADING.sub(anchored, sections)
    links = "".join(f'<a href="#{anchor}">{words}</a>' for anchor, words in names.items())
    nav = f'<nav aria-label="sections">{links}</nav>' if len(names) >= LINKED else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE.read_text(encoding='utf-8')}{more_style}</style></head>\n"
        f"<body><main>\n{head}{nav}{body}</main></body></html>\n"
    )
