"""Where accuracy went in a finished search: how well its score ranks, what the contest gained, what each lever brings.

Nothing is claimed of a ranking of fewer than `FEWEST` networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.report.bars import interval
from nas.report.parts import Cell, Line, Section, Table, numeric
from nas.report.sections.contest import RIGHT_CLASS, read_contest
from nas.runs.stored import Count, Schema, read_record, record

FEWEST = 5
LEVERS: Schema = {"candidates": Count, "levers": list[dict]}
LEVER: Schema = {"name": str, "ordered": bool, **dict.fromkeys(("gain", "low", "high"), float), "levels": list[dict]}
LEVEL: Schema = {"label": str, "count": Count, "mean": float, "half": float}


@dataclass(frozen=True)
class Diagnosis(Section):
    """What is said of the ranking, and the levers' marginal means over so many `candidates`."""

    sentences: Sequence[str]
    candidates: int
    levers: Table | None

    heading, template = "Where accuracy went", "diagnosis.html"


def diagnosis(run: Path, result: Mapping[str, Any]) -> Diagnosis | None:
    """None for runs that neither held a contest nor scored candidates."""
    said, (candidates, levers) = sentences(result), _levers(run / "levers.json")
    return Diagnosis(said, candidates, levers) if said or levers else None


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What the contest says of the score, its spread, and how many choices a supernet left open."""
    found = read_contest(result)
    said = []
    if found is not None:
        said += [ranking(found), *_spread(found)]
    positions = record(dict(result), {"undecided_positions": list[str] | None}, "result")["undecided_positions"]
    if positions is not None:
        named = f": {', '.join(positions)}" if positions else ""
        said.append(f"{len(positions)} left undecided of the supernet's choices{named}")
    return said


def ranking(contest: Mapping[str, Any]) -> str:
    """How well the score put the networks in the order of the contest: Kendall's tau-b, n, and its exact p-value."""
    from scipy.stats import kendalltau

    networks = contest["networks"]
    pairs = [(network["score"], -place) for place, network in enumerate(networks) if network["score"] is not None]
    what = f"the score ({contest['score_is']}) against the order of the contest"
    if len(pairs) < FEWEST or len({score for score, _ in pairs}) < 2:
        return f"{what}: {len(pairs)} networks, too few to say how well it ranks (from {FEWEST} on)"
    test = kendalltau(*zip(*pairs, strict=True))
    chance = "that could be chance" if test.pvalue > 0.05 else "hardly chance"
    return f"{what}: Kendall's tau {test.statistic:.2f}, n = {len(pairs)}, p = {test.pvalue:.2f}: {chance}"


def _spread(contest: Mapping[str, Any]) -> list[str]:
    """How far networks were apart where all were compared, and what the contest gained over the first by score."""
    first = contest["rungs"][0]
    percents = {row["name"]: row["validation_top1_percent"] for row in first["networks"]}
    known = [percent for percent in percents.values() if percent is not None]
    if not known:
        return []
    said = [
        f"at the first rung, after {first['epochs']} epochs, {len(known)} networks were {max(known) - min(known):.2f} "
        "points apart"
    ]
    favourite = next((network["name"] for network in contest["networks"] if network["name"] == "found-1"), None)
    if favourite is None:
        return said
    if favourite == contest["winner"]:
        return [*said, "the network that the score put first also won"]
    for rung in reversed(contest["rungs"]):
        rows = {row["name"]: row for row in rung["networks"] if row["validation_top1_percent"] is not None}
        if favourite in rows and contest["winner"] in rows:
            best, other = rows[contest["winner"]], rows[favourite]
            gained = best["validation_top1_percent"] - other["validation_top1_percent"]
            what = f"was {gained:.2f} points above the first by score"
            if rung["by"] == RIGHT_CLASS and None not in (best[RIGHT_CLASS], other[RIGHT_CLASS]):
                sure = best[RIGHT_CLASS] - other[RIGHT_CLASS]
                what = (
                    f"gave the right class {sure:.2f} points more of the probability than the first by score did, "
                    f"{gained:+.2f} of accuracy,"
                )
            said.append(
                f"the winner, {contest['winner']}, {what} after {rung['epochs']} epochs, where both were compared last"
            )
            break
    return said


def _levers(path: Path) -> tuple[int, Table | None]:
    """Marginal means over all scored candidates, whose number comes first, a row a lever."""
    if not path.exists():
        return 0, None
    stored = read_record(path, "levers of a search", LEVERS)
    levers = [record(each, LEVER, f"levers of a search {path}: a lever") for each in stored["levers"]]
    reach = max((abs(bound) for lever in levers for bound in (lever["low"], lever["high"])), default=0.0)
    head = [Cell("lever"), numeric("gain"), Cell(""), Cell("in words")]
    head.append(Cell("levels: mean ± half of the interval (candidates)"))
    lines = [_lever(lever, reach, path) for lever in levers]
    return stored["candidates"], Table(head, lines) if lines else None


def _lever(lever: Mapping[str, Any], reach: float, path: Path) -> Line:
    levels = [record(level, LEVEL, f"levers of a search {path}: a level") for level in lever["levels"]]
    shown = "; ".join(f"{le['label']}: {le['mean']:.1f} ± {le['half']:.1f} ({le['count']})" for le in levels)
    gain, low, high = lever["gain"], lever["low"], lever["high"]
    words = "picked after it was seen"
    if not (low > 0 or high < 0):
        words = "not told apart from chance"
    elif lever["ordered"]:
        words = "more helps" if gain > 0 else "less helps"
    figures = [numeric(f"{gain:+.2f} [{low:+.2f}, {high:+.2f}]"), Cell(interval(gain, low, high, reach))]
    return Line([Cell(lever["name"]), *figures, Cell(words, "fold"), Cell(shown, "fold soft")])
