"""Pages as a test reads them."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser

from nas.report.parts import Chart, Section
from nas.report.rendering import render

VOID = {"meta", "img", "input"}


def shown(part: Section | Chart | None) -> str:
    """The HTML of `part`; '' where there is none."""
    if isinstance(part, Chart):
        return str(render("chart.html", chart=part))
    return "" if part is None else str(render("section.html", anchor="here", section=part))


class Page(HTMLParser):
    """Checks that tags nest, and collects text and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += attributes
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def check_is_alone(self) -> None:
        """It loads and runs nothing: sources are pictures inside of it, links to its own parts or to files beside."""
        for tag, found in self.tags:
            assert tag not in ("script", "link", "iframe", "object", "embed"), tag
            for name, value in found.items():
                assert not name.startswith("on") and name not in ("srcset", "action"), (tag, name)
                if name in ("src", "data"):
                    assert str(value).startswith("data:image/png;base64,"), (tag, value)
                if name == "href":
                    assert "://" not in str(value) and not str(value).startswith("/"), (tag, value)

    def check_reads_aloud(self) -> None:
        """What is shown has words: pictures and charts; headings go down one level at a time, from one h1."""
        for tag, found in self.tags:
            if tag == "img":
                assert found.get("alt"), found
            if tag == "svg":
                assert found.get("role") == "img" and found.get("aria-label"), found
        levels = [int(tag[1]) for tag, _ in self.tags if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(low <= high + 1 for high, low in itertools.pairwise(levels)), levels
        names = [found["id"] for _, found in self.tags if "id" in found]
        assert len(set(names)) == len(names)
        targets = [str(found["href"])[1:] for tag, found in self.tags if str(found.get("href")).startswith("#")]
        assert set(targets) <= set(names)
