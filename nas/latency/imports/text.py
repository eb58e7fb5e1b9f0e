"""Reading text that people and spreadsheets wrote: encodings, separators, comments, decimal commas."""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

MISSING = ("", "-", "nan", "na", "n/a", "none", "null", "?")  # how a cell without a number is written, in lower case
_ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
Lines = list[tuple[int, str]]
NamedRow = TypeVar("NamedRow", bound=tuple[object, list[str]])


def content_kind(path: Path) -> str:
    """`archive` (npz and other zip files), `json`, or `text`, by how the file begins."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"PK"):
        return "archive"
    for mark, encoding in _ENCODINGS.items():
        if start.startswith(mark):
            start = start[: len(start) & ~1].decode(encoding, "ignore").encode()
    return "json" if start.lstrip()[:1] in (b"{", b"[") else "text"


def text_lines(path: Path) -> Lines:
    """The numbered lines of a text file in UTF-8 or what its byte-order mark says, without blank ones and `#` comments.

    Raises `ValueError` for a file that is not text.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _ENCODINGS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"not text in {encoding} ({error.reason} at byte {error.start}); save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("not text: it holds null characters; save it as UTF-8")
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def table_lines(path: Path, needed: Collection[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns of a CSV file and its numbered rows; the separator is the comma, semicolon or tab of its header.

    Raises `ValueError` where the header lacks one of `needed` or has a column twice.
    """
    lines = text_lines(path)
    columns: list[str] = []
    separator = ","
    for tried in ",;\t":
        found = _split(lines[0][1].rstrip(), tried) if lines else []
        if len(found) > len(columns):
            columns, separator = found, tried
    if not set(needed) <= set(columns):
        raise ValueError(f"expected the columns {', '.join(needed)}; got {', '.join(columns) or 'an empty file'}")
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise ValueError(f"the header has the column {twice[0]!r} twice")
    return columns, [(number, _cells(line, separator, len(columns))) for number, line in lines[1:]]


def of_device(columns: Sequence[str], rows: Sequence[NamedRow], source: str | None) -> Sequence[NamedRow]:
    """The rows, each with how it is called, of the device `source`; all where no column `device` tells them apart.

    A file of one device needs no `source`. Raises `ValueError` naming the devices where `source` is none of them.
    """
    if "device" not in columns:
        return rows
    place = columns.index("device")
    devices = sorted({row[1][place] for row in rows})
    if source is None and len(devices) <= 1:
        return rows
    if source not in devices:
        wrong = "several devices, which are never mixed" if source is None else f"no times of source={source}"
        raise ValueError(f"the file holds {wrong}; give source=... of {json.dumps(devices)}")
    return [row for row in rows if row[1][place] == source]


def _cells(line: str, separator: str, width: int) -> list[str]:
    """The cells of a row under a header of `width` columns; tabs beyond these, at its end, are blanks."""
    cells = _split(line, separator)
    while separator == "\t" and len(cells) > width and not cells[-1]:
        cells.pop()
    return cells


def _split(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None


def decimal_mark(cells: Iterable[str]) -> str:
    """The decimal mark of all numbers of a file, `.` or `,`.

    Raises `ValueError` where it cannot be told: beside numbers with a point, or where every comma could part thousands.
    """
    cells = list(cells)
    commas = [cell for cell in cells if "," in cell]
    if not commas:
        return "."
    if points := [cell for cell in cells if "." in cell]:
        raise ValueError(f"numbers with commas ({commas[0]!r}) and with points ({points[0]!r}); write all with points")
    if all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise ValueError(f"{commas[0]!r} could be a decimal comma or part thousands; write numbers with points")
    return ","


def number(cell: str, mark: str, where: str) -> float | None:
    """The number in `cell`; None where it says that there is none. Raises `ValueError` for other text."""
    if cell.strip().lower() in MISSING:
        return None
    try:
        return float(cell.replace(mark, "."))
    except ValueError:
        raise ValueError(f"{where} is {cell[:40]!r}, which is not a number") from None


def is_number(word: str) -> bool:
    """Whether `word` is a number, or says that there is none, whatever its decimal mark."""
    try:
        return number(word, ",", "") is not None or word.strip().lower() in MISSING
    except ValueError:
        return False
