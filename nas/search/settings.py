"""Types and ranges of the settings in `conf/search.yaml` that stand beside its cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from nas.derive.settings import BUDGET_TYPES, Mode
from nas.runs.keeping.settings import KEEPING_TYPES
from nas.train.settings import COMPUTE_TYPES, TEACHER_TYPES
from search_spaces.plain_data.annotations import Range

Latency = Literal["auto", "on", "off"]  # see SearchSetup.is_timed
BestOf = Literal["found", "all"]  # of these the network that is handed over
Scorer = Literal["training", "elastic"]  # see nas.methods.candidates.scorers
TYPES: dict[str, Any] = {
    "seed": int,
    **BUDGET_TYPES,
    "latency": Latency,
    "derive.mode": Mode | None,
    "derive.count": (int, 1),
    "derive.use": (float, 0, 1),
    "derive.best_of": BestOf | None,  # as the next ones, None in runs from before there were references
    "references.names": list[str] | None,
    "references.train": bool | Literal["auto"] | None,
    "references.start": bool | None,
    "derive.contest": (int | None, 0),
    "derive.reduction": (int | None, 2),
    "derive.rungs": list[int] | None,
    "derive.apart": (float | None, 0, 1),
    "train.enabled": bool,
    "train.inherit": bool,
    "train.epochs": (int | None, 0),
    "train.evaluate_every": (int | None, 0),  # None in runs from before it could be said
    "search.trials": (int, 1),
    "search.batch": (int | None, 1),
    "search.finalists": (int | None, 0),
    "search.epochs": (int | None, 1),
    "search.scorer": Scorer,
    "search.supernet": str | None,
    "search.statistics": (int, 1),
    "search.validation_fraction": Annotated[float, Range(0, 1, above=True, below=True)],
    "search.attempts": (int, 1),
    "search.stop_correlation": (float | None, 0, 1),
    "tables": str,
    "arch": str | None,
    "sync_batch_norm": bool | None,
    **TEACHER_TYPES,
    **COMPUTE_TYPES,
    "trackers": list[str] | None,
    **KEEPING_TYPES,
}


def check_latency(latency: Latency, budget: Mapping[str, Any], is_steered: bool) -> None:
    """Raise `ValueError` where `latency=off` contradicts a `budget`, or a method that is steered by latency."""
    if latency != "off":
        return
    for name in ("latency_ms", "energy_mj"):
        if budget.get(name) is not None:
            raise ValueError(f"latency=off leaves nothing to hold budget.{name} by; leave one of the two out")
    if is_steered:
        raise ValueError("latency=off: this method is steered by the latency table; use method=predictor or random")
