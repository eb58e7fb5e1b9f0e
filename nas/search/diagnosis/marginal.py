"""Marginal means: what candidates score on average at each level of a lever, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from nas.methods.candidates.trials_file import read_trials
from nas.runs.files import write_json
from nas.search.diagnosis.levers import Value, levers
from search_spaces.wrappers.joint import JointSpace

NAME = "levers.json"
CONFIDENCE = 0.95
DISTINCT = 4  # values of a number up to which each is a level; more are taken in thirds
FEWEST = 2  # candidates of a level that counts: below, nothing is known of its spread


@dataclass(frozen=True)
class Level:
    """`count` candidates whose lever is `label` score `mean` percent; half its 95% interval is `half`."""

    label: str
    count: int
    mean: float
    half: float


@dataclass(frozen=True)
class Lever:
    """`gain`: mean of the last level minus that of the first, in points, within `low` and `high` (95%, Welch's t).

    Levels of an `ordered` lever rise with it; those of another one are ordered by their means, so that its gain is the
    largest difference there is, picked after it was seen.
    """

    name: str
    ordered: bool
    levels: tuple[Level, ...]
    gain: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in ("name", "ordered", "gain", "low", "high")},
            "levels": [vars(level) for level in self.levels],
        }


def lever(name: str, values: Sequence[Value], scores: Sequence[float]) -> Lever | None:
    """That of `values`, one a candidate; None where fewer than two levels have `FEWEST` candidates, and where those
    that are compared score alike within each: nothing is known of their spread then, and no interval can be given."""
    ordered = not any(isinstance(value, str) for value in values)
    groups = _thirds(values, scores) if ordered else _words(values, scores)
    groups = [(label, found) for label, found in groups if len(found) >= FEWEST]
    if len(groups) < 2:
        return None
    if not ordered:
        groups.sort(key=lambda group: float(group[1].mean()))
    (_, first), (_, last) = groups[0], groups[-1]
    if not np.ptp(first) and not np.ptp(last):
        return None
    gain = float(last.mean() - first.mean())
    half = _welch(first, last)
    levels = tuple(Level(label, len(found), float(found.mean()), _half(found)) for label, found in groups)
    return Lever(name, ordered, levels, gain, gain - half, gain + half)


def write_levers(folder: Path, space: JointSpace) -> Path:
    """The levers of all candidates that the search in `folder` scored, to its `levers.json`, largest gain first."""
    genotypes, scores = read_trials(folder, space)
    is_scored = np.isfinite(scores)
    rows = [levers(space, tuple(genotype)) for genotype in genotypes[is_scored].tolist()]
    found = marginal_means(rows, scores[is_scored].tolist())
    return write_json(folder / NAME, {"candidates": len(rows), "levers": [lever.to_dict() for lever in found]})


def marginal_means(rows: Sequence[Mapping[str, Value]], scores: Sequence[float]) -> list[Lever]:
    """The levers in which candidates differ, largest gain (of either sign) first. A share that is missing is 0.

    Empty where all candidates score alike.
    """
    if len(set(scores)) < 2:
        return []
    names = dict.fromkeys(name for row in rows for name in row)
    found = []
    for name in names:
        default = 0.0 if name.startswith("share of ") else None
        known = [(row.get(name, default), score) for row, score in zip(rows, scores, strict=True)]
        pairs = [(value, score) for value, score in known if value is not None]
        if (each := lever(name, [value for value, _ in pairs], [score for _, score in pairs])) is not None:
            found.append(each)
    return sorted(found, key=lambda each: -abs(each.gain))


def _words(values: Sequence[Value], scores: Sequence[float]) -> list[tuple[str, np.ndarray]]:
    words, known = np.array([str(value) for value in values]), np.array(scores)
    return [(str(word), known[words == word]) for word in np.unique(words)]


def _thirds(values: Sequence[Value], scores: Sequence[float]) -> list[tuple[str, np.ndarray]]:
    """By value where these are few, else in three parts of about as many candidates; equal values stay together."""
    numbers, known = np.array(values, dtype=np.float64), np.array(scores)
    distinct = np.unique(numbers)
    if len(distinct) <= DISTINCT:
        return [(f"{value:.4g}", known[numbers == value]) for value in distinct]
    edges = np.quantile(numbers, [1 / 3, 2 / 3])
    parts = np.searchsorted(edges, numbers, side="left")
    found = []
    for part in np.unique(parts):
        inside = numbers[parts == part]
        low, high = f"{inside.min():.4g}", f"{inside.max():.4g}"
        found.append((low if low == high else f"{low} to {high}", known[parts == part]))
    return found


def _half(values: np.ndarray) -> float:
    error = values.std(ddof=1) / np.sqrt(len(values))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * error)


def _welch(first: np.ndarray, last: np.ndarray) -> float:
    """Half the interval of the difference of two means of unequal spread."""
    parts = [values.var(ddof=1) / len(values) for values in (first, last)]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (first, last), strict=True))
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * np.sqrt(sum(parts)))
