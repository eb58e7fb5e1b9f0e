"""A self-contained page: its style inside, headings that can be linked to, and nothing that is loaded or run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from nas.report.parts import Section
from nas.report.rendering import render

STYLE = Path(__file__).with_name("run_page.css")


def page(template: str, sections: Sequence[Section], **values: object) -> str:
    """The page of `template`, which extends `page.html`, with its own `values` and these sections."""
    anchors: list[str] = []
    for section in sections:
        anchor = re.sub("[^a-z0-9]+", "-", section.heading.lower()).strip("-")
        while anchor in anchors:
            anchor += "-again"
        anchors.append(anchor)
    style = Markup(STYLE.read_text(encoding="utf-8"))
    return str(render(template, style=style, sections=list(zip(anchors, sections, strict=True)), **values))
