"""How well the network answers: class by class, what it confuses, and images that it gets right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from nas.report.bars import bar
from nas.report.charts import figure
from nas.report.parts import Cell, Chart, Line, Section, Table, numeric
from nas.train.answers.stored import read_answers

LISTED = 20  # classes in the table, the worst first
NUMBERED = 20  # classes up to which the cells of a confusion hold their numbers
SIDE = 380  # pixels of a confusion
FAINT, FULL = 0.12, 0.54  # how much of its colour a cell has, from none to all of its row: numbers stay legible on it
LETTER, LONGEST = 6.5, 10  # pixels of a letter of a class's name; letters shown at most


class Sample(NamedTuple):
    """The test image in `row`, as base64 of a PNG, and what was said of it."""

    row: int
    words: str
    picture: str


@dataclass(frozen=True)
class Answers(Section):
    """How `images` were answered. `more`: classes that are not in the table; `samples`: under their titles."""

    images: int
    calibration_error_percent: float
    bins: int
    classes: Table
    more: int
    confusion: Chart | None
    samples: Sequence[tuple[str, Sequence[Sample]]]

    heading, template = "Class by class", "answers.html"


def answers(run: Path) -> Answers | None:
    """The section of the network in `run`. None where nothing is known of its answers."""
    found = read_answers(run)
    if found is None:
        return None
    names = list(found["class_percent"])
    known = {name: share for name, share in found["class_percent"].items() if share is not None}
    worst = sorted(known, key=lambda name: known[name])[:LISTED]
    head = [Cell("class"), numeric("images"), numeric("top-1, %"), Cell(""), Cell("most taken for")]
    kinds = {"wrong": "Wrong, the surest first", "right": "Right, one of a class"}
    samples = [(title, _samples(found["samples"].get(kind, []), names)) for kind, title in kinds.items()]
    return Answers(
        images=found["test_images"],
        calibration_error_percent=found["calibration_error_percent"],
        bins=found["calibration_bins"],
        classes=Table(head, [_class(found, names, name) for name in worst]),
        more=len(known) - len(worst),
        confusion=None if found["confusion"] is None else _confusion(found["confusion"], names),
        samples=[(title, shown) for title, shown in samples if shown],
    )


def class_rows(run: Path) -> list[list[object]]:
    """Accuracy by class and, where it is known, the confusion, for a spreadsheet; empty where nothing is known."""
    found = read_answers(run)
    if found is None:
        return []
    names, table = list(found["class_percent"]), found["confusion"]
    rows: list[list[object]] = [["class", "images", "top1_percent", *(f"said {name}" for name in names if table)]]
    for index, (name, percent) in enumerate(found["class_percent"].items()):
        rows.append([name, found["class_images"].get(name), percent, *(table[index] if table else [])])
    return rows


def _class(found: Mapping[str, Any], names: Sequence[str], name: str) -> Line:
    percent, images = found["class_percent"][name], found["class_images"].get(name, 0)
    taken = _taken_for(found["confusion"], names, names.index(name))
    share = Cell(bar(percent / 100, "blue"))
    return Line([Cell(name), numeric(f"{images:,}"), numeric(f"{percent:.1f}"), share, Cell(taken)])


def _taken_for(confusion: Sequence[Sequence[int]] | None, names: Sequence[str], index: int) -> str:
    if confusion is None:
        return ""
    others = [(-images, other) for other, images in enumerate(confusion[index]) if other != index and images]
    return "" if not others else f"{names[min(others)[1]]} ({-min(others)[0]})"


def _confusion(table: Sequence[Sequence[int]], names: Sequence[str]) -> Chart:
    """Right classes downwards, answers to the right; a cell is as dark as its share of the row."""
    count = len(names)
    letters = max(len(_short(name)) for name in names) if count <= NUMBERED else 0
    margin = 10 + LETTER * letters
    cell = (SIDE - margin) / count
    parts = []
    for row, images in enumerate(table):
        total, y = sum(images), margin + cell * row
        for column, number in enumerate(images):
            if not number:
                continue
            x, share = margin + cell * column, number / total
            kind = "hit" if row == column else "miss"
            tip = f"<title>{escape(names[row])}, said {escape(names[column])}: {number} of {total}</title>"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{cell:.2f}" height="{cell:.2f}" '
                f'fill-opacity="{FAINT + (FULL - FAINT) * share:.2f}">{tip if count <= NUMBERED else ""}</rect>'
            )
            if count <= NUMBERED:
                parts.append(
                    f'<text class="cell" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 3.5:.1f}" text-anchor="middle">'
                    f"{number}</text>"
                )
    if count <= NUMBERED:
        for index, name in enumerate(names):
            shown, middle = escape(_short(name)), margin + cell * (index + 0.5)
            parts.append(
                f'<text class="tick" x="{margin - 5:.1f}" y="{middle + 4:.1f}" text-anchor="end">{shown}</text>'
            )
            parts.append(
                f'<text class="tick" text-anchor="start" transform="translate({middle + 4:.1f} {margin - 6:.1f}) '
                f'rotate(-60)">{shown}</text>'
            )
    wrong = sum(sum(row) for row in table) - sum(table[i][i] for i in range(count))
    said = "1 answer is wrong" if wrong == 1 else f"{wrong} answers are wrong"
    title = f"confusion of {count} classes: right class downwards, answer to the right; {said}"
    return Chart(title, figure(title, (SIDE, SIDE), "".join(parts), "plot", "confusion"))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _samples(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Sample]:
    shown = []
    for row in rows:
        right, said = names[row["label"]], names[row["answer"]]
        words = right if right == said else f"{right}, said {said}"
        shown.append(Sample(row["row"], f"{words} ({100 * row['confidence']:.0f}%)", row["picture"]))
    return shown
