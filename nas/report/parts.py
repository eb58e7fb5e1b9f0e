"""What pages consist of, as plain values: sections, tables, charts. How they look is said by `templates/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from markupsafe import Markup

NOTHING = "–"


class Section:
    """A part of a page. Each kind is a frozen dataclass of what its `template` reads as `section`."""

    heading: str
    template: ClassVar[str]  # a file of templates/sections
    tone: ClassVar[str] = ""  # of the heading: '', or 'poor'


class Cell(NamedTuple):
    """Of a table: `value` is text, or markup of ours; `kind`: classes of the style sheet."""

    value: str | Markup
    kind: str = ""
    strong: bool = False


def numeric(value: str | Markup, strong: bool = False) -> Cell:
    """A cell that is aligned to the right."""
    return Cell(value, "n", strong)


class Line(NamedTuple):
    """A row of a table; `kind`: classes of the style sheet."""

    cells: Sequence[Cell]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a head, which is empty where the rows say all."""

    head: Sequence[Cell]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Chart:
    """A drawing under its caption. `keys`: of each kind of point its class in the style sheet, and its label."""

    caption: str
    svg: Markup
    keys: Sequence[tuple[str, str]] = ()
