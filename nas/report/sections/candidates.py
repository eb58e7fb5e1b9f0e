"""All that a search scored: candidates, references and the network that was found, over each cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.derive.verdict import COSTS
from nas.report import charts
from nas.report.charts import Group, number
from nas.report.parts import Cell, Chart, Line, Section, Table, numeric
from nas.report.sections.references import latency, reference_rows, title
from nas.runs.files import read_json
from nas.runs.stored import Count, Percent, Schema, record
from search_spaces.memory.counted import amount

TRIAL: Schema = {
    "candidate": str,
    "validation_top1_percent": Percent | None,
    "costs": dict[str, float],
    "round": Count | None,
}
LABELS = {
    **{"latency_ms": "latency, ms", "macs": "multiply-adds", "params": "parameters"},
    **{"memory_kib": "peak memory, KiB", "weights_kib": "weights, KiB", "energy_mj": "energy, mJ"},
}
COUNTED = tuple(key for key, _, _ in COSTS)
LISTED = 24  # candidates of a front in its table
Trial = Mapping[str, Any]


@dataclass(frozen=True)
class Candidates(Section):
    """So many `trials`, of which some were `trained`, on so many `images` where these are a part of all, or `inherited`
    weights, and `best` have the best score; of each cost its chart and its front."""

    trials: int
    trained: int
    images: int | None
    best: int
    inherited: bool
    costs: Sequence[tuple[Chart | None, Table | None]]

    heading, template = "All that was scored", "candidates.html"


def read_trials(run: Path) -> list[dict[str, Any]]:
    """The candidates in `run`, those that failed too; none for other methods. Raises `ValueError` for damage."""
    path = run / "trials.json"
    if not path.exists():
        return []
    stored = read_json(path, "trials of a search")
    if not isinstance(stored, list):
        raise ValueError(f"{path} does not hold a list of trials; it is damaged or none of ours")
    return [record(trial, TRIAL, f"{path}: a trial") for trial in stored]


def trial_rows(run: Path) -> list[list[object]]:
    """The candidates for a spreadsheet, with a heading; empty where there are none."""
    trials = read_trials(run)
    costs = list(dict.fromkeys(name for trial in trials for name in trial["costs"]))
    rows: list[list[object]] = [["candidate", "round", "validation_top1_percent", *costs]] if trials else []
    for trial in trials:
        known = [trial["candidate"], trial["round"], trial["validation_top1_percent"]]
        rows.append([*known, *(trial["costs"].get(name) for name in costs)])
    return rows


def candidates(run: Path, result: Mapping[str, Any], search: Any) -> Candidates | None:
    """A chart over each cost, with candidates, references and the found network as far as they were scored, and a table
    of the candidates that no other beats. None where fewer than two networks were scored.

    `search`: what the run's settings say of its candidates, if they do.
    """
    trials = read_trials(run)
    trained = [trial for trial in trials if trial["validation_top1_percent"] is not None]
    names = list(dict.fromkeys(["latency_ms", *(name for trial in trained for name in trial["costs"])]))
    costs = [(_chart(name, trained, result), _front(name, trained)) for name in names]
    if not any(chart or front for chart, front in costs):
        return None
    scores = [trial["validation_top1_percent"] for trial in trained]
    best = scores.count(max(scores)) if scores else 0
    images = search.get("images") if isinstance(search, Mapping) else None
    few = images if isinstance(images, int) else None
    return Candidates(len(trials), len(trained), few, best, result.get("scorer") == "elastic", costs)


def _chart(name: str, trained: Sequence[Trial], result: Mapping[str, Any]) -> Chart | None:
    groups = [group for group in (*_candidates(name, trained), *_tested(name, result)) if group.points]
    if sum(len(group.points) for group in groups) < 2:
        return None
    label, asked = LABELS.get(name, name), result.get(f"asked_{name}")
    limit = None if asked is None else (f"budget {_cost(name, asked)}", asked)
    return charts.front_chart(f"top-1 accuracy, %, over {label}", groups, label, "top-1, %", limit)


def _candidates(name: str, trained: Sequence[Trial]) -> list[Group]:
    """The earlier half of them and the later one, in the order in which the search proposed them."""
    half = len(trained) // 2
    parts = {"earlier half of the candidates": trained[:half], "later half of the candidates": trained[half:]}
    return [
        Group(
            words, [(t["costs"][name], t["validation_top1_percent"]) for t in part if name in t["costs"]], joined=False
        )
        for words, part in (parts if half else {"candidates": trained}).items()
    ]


def _tested(name: str, result: Mapping[str, Any]) -> list[Group]:
    """References and the found network, by the test images, where they have such a cost."""
    if name != "latency_ms" and name not in COUNTED:
        return []
    found, rows = result.get("found") or result, reference_rows(result)
    own = (latency(found) if name == "latency_ms" else found.get(name), found.get("top1_percent"))
    known = [(latency(row) if name == "latency_ms" else row.get(name), row["top1_percent"]) for row in rows]
    scored = [(point, title(row)) for point, row in zip(known, rows, strict=True) if None not in point]
    points = [(float(x), float(y)) for (x, y), _ in scored if x is not None and y is not None]
    mine = [] if own[0] is None or own[1] is None else [(float(own[0]), float(own[1]))]
    return [
        Group("references", points, [called for _, called in scored], joined=False),
        Group("found", mine, ["found"] * len(mine), joined=False),
    ]


def _front(name: str, trained: Sequence[Trial]) -> Table | None:
    points = {(t["costs"][name], t["validation_top1_percent"]): t["candidate"] for t in trained if name in t["costs"]}
    best = charts.front(list(points))
    if not best:
        return None
    head = [Cell("candidate"), numeric(LABELS.get(name, name)), numeric("validation top-1, %")]
    lines = [
        Line([Cell(points[point]), numeric(_cost(name, point[0])), numeric(f"{point[1]:.2f}")])
        for point in best[-LISTED:]
    ]
    return Table(head, lines)


def _cost(name: str, value: float) -> str:
    return f"{number(value)} ms" if name.endswith("_ms") else amount(value)
