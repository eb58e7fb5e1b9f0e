"""How well the network answers: class by class, what it confuses, and images that it gets right and wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from nas.report.bars import bar
from nas.report.charts import figure
from nas.train.answers.stored import read_answers

LISTED = 20  # classes in the table, the worst first
NUMBERED = 20  # classes up to which the cells of a confusion hold their numbers
SIDE = 380  # pixels of a confusion
LETTER, LONGEST = 6.5, 10  # pixels of a letter of a class's name; letters shown at most


def answers(run: Path) -> str:
    """The section of the network in `run`. Empty where nothing is known of its answers."""
    found = read_answers(run)
    if found is None:
        return ""
    names = list(found["class_percent"])
    said = (
        f"<p>{found['test_images']:,} test images. Its confidence is off by {found['calibration_error_percent']:.1f} "
        f"points on average (expected calibration error, {found['calibration_bins']} bins).</p>"
    )
    parts = [_classes(found, names)]
    if found["confusion"] is not None:
        parts.append(_confusion(found["confusion"], names))
    samples = "".join(
        _samples(title, found["samples"].get(kind, []), names)
        for title, kind in (("Wrong, the surest first", "wrong"), ("Right, one of a class", "right"))
    )
    return f"<h2>Class by class</h2>{said}<div class='charts'>{''.join(parts)}</div>{samples}"


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


def _classes(found: Mapping[str, Any], names: Sequence[str]) -> str:
    known = {name: share for name, share in found["class_percent"].items() if share is not None}
    worst = sorted(known, key=lambda name: known[name])[:LISTED]
    rows = []
    for name in worst:
        taken = _taken_for(found["confusion"], names, names.index(name))
        rows.append(
            f"<tr><td>{escape(name)}</td><td class='n'>{found['class_images'].get(name, 0):,}</td>"
            f"<td class='n'>{known[name]:.1f}</td><td>{bar(known[name] / 100, 'blue')}</td>"
            f"<td>{escape(taken)}</td></tr>"
        )
    left = len(known) - len(worst)
    more = f"<p class='soft'>{left} more classes, all above; figures/classes.csv has them.</p>" if left else ""
    head = "<th>class</th><th class='n'>images</th><th class='n'>top-1, %</th><td></td><th>most taken for</th>"
    return f"<div class='panel' tabindex='0'><table><tr>{head}</tr>{''.join(rows)}</table>{more}</div>"


def _taken_for(confusion: Sequence[Sequence[int]] | None, names: Sequence[str], index: int) -> str:
    if confusion is None:
        return ""
    others = [(-images, other) for other, images in enumerate(confusion[index]) if other != index and images]
    return "" if not others else f"{names[min(others)[1]]} ({-min(others)[0]})"


def _confusion(table: Sequence[Sequence[int]], names: Sequence[str]) -> str:
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
                f'fill-opacity="{0.12 + 0.68 * share:.2f}">{tip if count <= NUMBERED else ""}</rect>'
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
    title = f"confusion of {count} classes: right class downwards, answer to the right; {wrong} answers are wrong"
    svg = figure(title, (SIDE, SIDE), "".join(parts), "plot", "confusion")
    return f"<figure><figcaption>{title}</figcaption>{svg}</figure>"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _samples(title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    if not rows:
        return ""
    shown = []
    for row in rows:
        right, said = names[row["label"]], names[row["answer"]]
        words = right if right == said else f"{right}, said {said}"
        text = f"{words} ({100 * row['confidence']:.0f}%)"
        alt = escape(f"test image {row['row']}: {text}", quote=True)
        shown.append(
            f"<figure class='sample'><img alt=\"{alt}\" src='data:image/png;base64,{row['picture']}'>"
            f"<figcaption>{escape(text)}</figcaption></figure>"
        )
    return f"<h3>{title}</h3><div class='samples'>{''.join(shown)}</div>"
