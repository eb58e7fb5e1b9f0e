"""Figures in a README, between two markers, so that they can be written anew from results."""

from __future__ import annotations

from pathlib import Path

from nas.runs.files import write_text

START, END = "<!-- figures -->", "<!-- end of figures -->"


def fill(readme: Path, text: str) -> None:
    """Put `text` between the markers of `readme`. Raises `ValueError` where it has none."""
    head, start, rest = readme.read_text().partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise ValueError(f"{readme} has no {START} ... {END} to be filled")
    write_text(readme, f"{head}{START}\n\n{text}\n\n{END}{tail}")
