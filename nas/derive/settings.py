"""Types and ranges of the settings in `conf/derive.yaml`."""

from __future__ import annotations

from typing import Any, Literal

How = Literal["budget", "argmax", "sample", "thresholds"]  # see nas.derive.most_probable.derive
TYPES: dict[str, Any] = {
    "run": str,
    "budget.latency_ms": float | None,
    "budget.macs": int | None,
    "budget.params": int | None,
    "budget.fraction": (float | None, 0, 1),
    "budget.margin": (float | None, 0),
    "budget.tolerance": (float, 0),
    "budget.rounds": (int, 1),
    "how": How | None,
    "count": (int, 1),
    "use": (float, 0, 1),
    "measure": bool,
    "seed": int,
    "out": str | None,
}
