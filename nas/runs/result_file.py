"""`result.json` and `env.json` as the report reads them: every field has its type, whoever had the files since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nas.runs.stored import Count, Milliseconds, NonNegative, Percent, Schema, Share, read_record, record

CLASSES = "classes.json"  # beside the checkpoints: what the classes were called when the run began
RESULT: Schema = {
    **dict.fromkeys(("space", "method", "device", "weights", "not_measured", "derived_by", "scorer"), str | None),
    **dict.fromkeys(("asked_latency_ms", "measured_latency_ms", "limit_latency_ms"), Milliseconds | None),
    "estimated_latency_ms": float | None,
    **dict.fromkeys(("top1_percent", "validation_top1_percent", "guessing_percent"), Percent | None),
    **dict.fromkeys(("search_seconds", "train_seconds", "pretrain_seconds"), NonNegative | None),
    **dict.fromkeys(("asked_macs", "asked_params", "trials", "equal_candidates"), Count | None),
    **dict.fromkeys(("params", "macs"), Count),
    **dict.fromkeys(("memory_kib", "weights_kib", "energy_mj"), NonNegative | None),
    **dict.fromkeys(("asked_memory_kib", "asked_weights_kib", "asked_energy_mj"), NonNegative | None),
    "decided": bool | None,
    "decided_by": str | None,
    **dict.fromkeys(("decided_at", "mean_top_probability", "mean_taken_probability", "entropy"), Share | None),
    **dict.fromkeys(("choices_to_decide", "search_epochs", "search_epochs_allowed"), Count | None),
    "undecided_positions": list[str] | None,
    "seed": int,
    "data": str,
    "budget_met": bool | None,
    "contest": dict | None,
    "counted": dict | None,
    "genotype": list[int] | None,
    "reachable_latency_ms": tuple[float, float] | None,
    **dict.fromkeys(("best_reference", "handed_over"), str | None),
    "references": list[dict] | None,
    "references_left_out": dict[str, str] | None,
    "found": dict | None,
}
ENVIRONMENT: Schema = {
    **dict.fromkeys(("time", "command", "python", "git_commit", "platform", "cpu", "gpu"), str | None),
    **dict.fromkeys(("cpu_count", "usable_cpus"), int | None),
    "packages": dict[str, str | None] | None,
    "resumed": list[dict] | None,
}
TIME = "%Y-%m-%dT%H:%M:%S%z"


def read_result(run: Path) -> dict[str, Any]:
    """The result of `run`, missing fields as None. Raises `ValueError` where there is none or a field does not fit."""
    return read_record(run / "result.json", "result (has the search finished?)", RESULT)


def read_environment(run: Path) -> dict[str, Any]:
    """Where `run` took place; all None for a run that has lost its `env.json`. `began`: its time, None if unknown."""
    path = run / "env.json"
    found = read_record(path, "environment", ENVIRONMENT) if path.exists() else dict.fromkeys(ENVIRONMENT)
    for again in found["resumed"] or []:
        record(again, {"command": str}, f"environment {path}: resumed")
    try:
        began = None if found["time"] is None else datetime.strptime(found["time"], TIME)
    except ValueError:
        raise ValueError(
            f"environment {path}: time must look like 2000-12-31T23:59:59+0000, got {found['time']!r}"
        ) from None
    return {**found, "packages": found["packages"] or {}, "resumed": found["resumed"] or [], "began": began}


def more_training(found: Mapping[str, Any]) -> str | None:
    """What is not alike where references were trained beside a network that inherited weights; None where all is."""
    own = found.get("found") or found
    trained = any(row["top1_percent"] is not None for row in found.get("references") or [])
    if not trained or not (own.get("weights") or "").startswith("inherited"):
        return None
    return (
        "references are trained from scratch, the found network began with the supernet's weights: it has had more "
        "training than they; train.inherit=false trains all alike"
    )


def held_equal(found: Mapping[str, Any]) -> str:
    """In words, what a reference that is ahead does not take more of, from what was asked and found."""
    if found["asked_latency_ms"] is not None:
        return "at no more latency than was asked"
    timed = any(found[key] is not None for key in ("measured_latency_ms", "estimated_latency_ms"))
    return "at no more latency than it takes" if timed else "within the same budgets"
