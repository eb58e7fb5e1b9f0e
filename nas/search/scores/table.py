"""A table of choices and scores that somebody has: measured networks, recipes, anything that was tried."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from search_spaces.pricing.genotype_cost import Floats
from search_spaces.space import Variable
from search_spaces.wrappers.listed import ListedSpace

Row = Mapping[str, object]


@dataclass(frozen=True)
class ScoredTable:
    """The points of `space`, the score of each (n,), higher is better, NaN where it failed, and columns of `costs`."""

    space: ListedSpace
    scores: Floats
    costs: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The highest score."""
        return float(np.nanmax(self.scores))


def read_scores(
    file: str | Path, score: str, costs: Sequence[str] = (), recipe: Sequence[str] = (), minimise: bool = False
) -> ScoredTable:
    """The table in the CSV file `file`, its first line the names of the columns.

    `score`: the column that is searched for, by its largest value or with `minimise` its smallest, whose negatives are
    the scores then; an empty cell is a trial that failed. `costs`: columns that limits can be set on (`latency_ms`).
    All others are choices: those in `recipe` of how it was trained, the rest of what. A choice whose values are all
    numbers is ordered. Rows of equal choices (seeds) count as one, of mean score and costs. Raises `ValueError` naming
    line and column of what it cannot read.
    """
    path = Path(file)
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream, strict=True)
        try:
            numbered = [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.reader.line_num}: not CSV: {error}") from None
        names = list(reader.fieldnames or ())
    for name in (score, *costs, *recipe):
        if name not in names:
            raise ValueError(f"{path} has no column {name!r}; it has {', '.join(names) or 'none'}")
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ValueError(f"{path} has the column {twice[0]!r} twice; rename one of them")
    if others := [name for name in recipe if name in (score, *costs)]:
        raise ValueError(f"recipe names {others[0]!r}, which is the score or a cost and no choice")
    for number, row in numbered:
        if None in row or None in row.values():
            raise ValueError(f"{path}, line {number}: {len(names)} columns are wanted")
    special = {score, *costs}
    chosen = [name for name in names if name not in special]
    ordered = [name for name in chosen if name not in recipe] + [name for name in chosen if name in recipe]
    columns = {name: [_number(row[name], path, number, name) for number, row in numbered] for name in special}
    for name in costs:
        if np.isnan(columns[name]).any():
            raise ValueError(f"{path}, line {numbered[int(np.isnan(columns[name]).argmax())][0]}: {name} is empty")
    sign = -1.0 if minimise else 1.0
    return scored_table(
        path.stem,
        [{name: row[name] for name in ordered} for _, row in numbered],
        sign * np.array(columns[score]),
        {name: np.array(columns[name]) for name in costs},
        len(set(recipe)),
    )


def scored_table(
    name: str, rows: Sequence[Row], scores: Sequence[float] | Floats, costs: Mapping[str, Floats], recipe: int = 0
) -> ScoredTable:
    """The table of `rows`, choices by the names of their variables, in the order of the first row, with their `scores`.

    The last `recipe` variables are of recipes. See `read_scores`.
    """
    if not rows or not rows[0]:
        raise ValueError(f"{name} has no choices to search")
    variables = [_variable(key, [row[key] for row in rows]) for key in rows[0]]
    genes = [{str(choice): i for i, choice in enumerate(v.choices)} for v in variables]
    points = np.array(
        [[g[str(_plain(row[v.name], v))] for g, v in zip(genes, variables, strict=True)] for row in rows],
        dtype=np.int64,
    )
    distinct, owner = np.unique(points, axis=0, return_inverse=True)
    owner = owner.reshape(-1)
    counts = np.bincount(owner)
    found = {key: np.bincount(owner, weights=values) / counts for key, values in costs.items()}
    known = np.asarray(scores, dtype=np.float64)
    tried = ~np.isnan(known)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(owner[tried], weights=known[tried], minlength=len(distinct)) / np.bincount(
            owner[tried], minlength=len(distinct)
        )
    if not tried.any():
        raise ValueError(f"{name} has no score")
    return ScoredTable(ListedSpace(name, variables, distinct, recipe), mean, found)


def _variable(name: str, values: Sequence[object]) -> Variable:
    """Ordered where all values are numbers; otherwise in the order of their texts."""
    numbers = [_as_number(value) for value in values]
    if all(number is not None for number in numbers):
        return Variable(name, tuple(sorted({number for number in numbers if number is not None})), ordered=True)
    return Variable(name, tuple(sorted({str(value) for value in values})))


def _plain(value: object, variable: Variable) -> object:
    return _as_number(value) if variable.ordered else value


def _as_number(value: object) -> int | float | None:
    """`value` as a finite number, whole ones as such; None where it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    if not number.is_integer():
        return number
    try:
        return int(value)  # type: ignore[call-overload]  # floats know no two neighbours above 2**53
    except ValueError:  # 3.0 and 1e3 as texts
        return int(number)


def _number(text: str, path: Path, line: int, name: str) -> float:
    if not text.strip():
        return math.nan
    found = _as_number(text)
    if found is None:
        raise ValueError(f"{path}, line {line}: {name} must be a number, got {text!r}")
    return float(found)
