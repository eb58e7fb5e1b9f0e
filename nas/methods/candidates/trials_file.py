"""`trials.json`: every candidate that a search trained, its score and budgeted costs; what `nas.derive` reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.methods.candidates.trial_schema import check_genotype, check_score
from nas.methods.candidates.trials import Outcome
from nas.runs.files import read_json, write_json
from search_spaces.plain_data.identity import digest
from search_spaces.pricing.additive import Floats
from search_spaces.pricing.budgets import Feasible
from search_spaces.space import Population
from search_spaces.wrappers.joint import JointSpace

NAME = "trials.json"


def named_costs(feasible: Feasible, genotype: Sequence[int]) -> dict[str, float]:
    """The budgeted costs of one genotype by name."""
    costs = feasible.costs(np.array([genotype], dtype=np.int64))[0]
    return {limit.name: float(cost) for limit, cost in zip(feasible.limits, costs, strict=True)}


def write_trials(folder: Path, feasible: Feasible, outcomes: Sequence[Outcome]) -> Path:
    """Write the file, each record with a digest of itself."""
    records: list[dict[str, Any]] = [
        {
            "candidate": outcome.candidate,
            "round": outcome.round,
            "genotype": list(outcome.genotype),
            "validation_top1_percent": None if np.isnan(outcome.score) else outcome.score,
            "costs": named_costs(feasible, outcome.genotype),
            "figures": outcome.figures,
            "reason": outcome.reason,
        }
        for outcome in outcomes
    ]
    return write_json(folder / NAME, [{**record, "digest": digest(record)} for record in records])


def read_trials(folder: Path, space: JointSpace) -> tuple[Population, Floats]:
    """Genotypes (n, genes) and scores (n,), NaN for failures, of the search in `folder`.

    Raises `ValueError` where the file is missing or damaged, or where its candidates are not those of `space`.
    """
    path = folder / NAME
    records: Any = read_json(path, "trials of a search")
    try:
        if not isinstance(records, list):
            raise ValueError(f"it is not a list of trials but {str(records)[:40]}")
        for number, record in enumerate(records):
            _check(f"trial {number}", record, space)
    except ValueError as error:
        raise ValueError(
            f"{path} does not hold trials of {space.name}: {error}; resume the run, which writes it anew (or begin "
            "another one, where the space has changed since)"
        ) from None
    scores = [record["validation_top1_percent"] for record in records]
    return (
        np.array([record["genotype"] for record in records], dtype=np.int64).reshape(
            len(records), len(space.variables)
        ),
        np.array([np.nan if score is None else float(score) for score in scores]),
    )


def epoch_seconds(folder: Path) -> float | None:
    """What an epoch of a candidate's training took, the median; None where the search in `folder` trained none.

    A guess at what trainings take: files without these figures have none.
    """
    if not (folder / NAME).exists():
        return None
    figures = [trial.get("figures") or {} for trial in read_json(folder / NAME, "trials of a search")]
    took = [known["train_seconds"] / known["epochs"] for known in figures if {"train_seconds", "epochs"} <= set(known)]
    return float(np.median(took)) if took else None


def _check(what: str, record: Any, space: JointSpace) -> None:
    if not isinstance(record, dict):
        raise ValueError(f"{what} is {str(record)[:40]}")
    check_genotype(what, record.get("genotype"), [len(variable) for variable in space.variables])
    if record.get("validation_top1_percent", "") is not None:
        check_score(what, record.get("validation_top1_percent"))
    if record.get("digest") != digest({key: value for key, value in record.items() if key != "digest"}):
        raise ValueError(f"{what} was changed since it was written")
    if record.get("candidate") != space.candidate_id(record["genotype"]):
        raise ValueError(f"{what} is another candidate in this space")
