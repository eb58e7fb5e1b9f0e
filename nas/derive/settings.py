"""Types and ranges of the settings in `conf/derive.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from nas.terminal.configuration.override_text import command
from nas.train.settings import TEACHER_TYPES
from search_spaces.memory.counted import BYTES
from search_spaces.memory.tape import InPlace

Mode = Literal["budget", "argmax", "sample", "thresholds"]  # see nas.derive.most_probable.derive
COST_BUDGET_TYPES: dict[str, Any] = {
    "budget.latency_ms": float | None,
    "budget.macs": int | None,
    "budget.params": int | None,
    "budget.memory_kib": (float | None, 0),
    "budget.weights_kib": (float | None, 0),
    "budget.energy_mj": (float | None, 0),
    "budget.dtype": Literal[tuple(BYTES)] | None,
    "budget.in_place": InPlace | None,
}
BUDGET_TYPES: dict[str, Any] = {
    **COST_BUDGET_TYPES,
    "budget.fraction": (float | None, 0, 1),
    "budget.margin": (float | None, 0),
    "budget.tolerance": (float | None, 0),
    "budget.rounds": (int, 1),
}
TYPES: dict[str, Any] = {
    "run": str,
    **BUDGET_TYPES,
    "mode": Mode | None,
    "count": (int, 1),
    "use": (float, 0, 1),
    "measure": bool,
    "candidates": (int, 0),
    "train.epochs": (int, 0),
    **TEACHER_TYPES,
    "seed": int,
    "tables": str,
    "out": str | None,
}


TABLE = "table.json"  # of a run directory
SEARCHED = ("theta.json", "trials.json")  # of a run: what a search leaves when it ends


def check_searched(run: Path) -> None:
    """Raise `ValueError` for a run whose search has not ended, before anything is imported or measured."""
    if (run / "config.yaml").exists() and not any((run / name).exists() for name in SEARCHED):
        raise ValueError(
            f"{run} holds no finished search (neither {' nor '.join(SEARCHED)}); where it stands says: "
            f"{command('status', {'run': str(run)})}"
        )


TABLED = ("latency_ms", "fraction", "energy_mj")  # budgets that a latency table holds


def check_tabled(run: Path, asked: Mapping[str, Any]) -> None:
    """Raise `ValueError` for budgets `asked` of the search in `run` that a latency table holds: it has none, and no
    device is named whose table is made now."""
    named = [f"budget.{name}" for name in TABLED if asked.get(name) is not None]
    if named and (run / "config.yaml").exists():
        raise ValueError(
            f"{run} has no latency table, which {named[0]} needs: none was asked for; name the device, whose table is "
            "then measured (device=local), or search again with latency=on"
        )


UNITS = {
    "latency_ms": "milliseconds",
    "macs": "multiply-adds",
    "params": "parameters",
    "memory_kib": "KiB",
    "weights_kib": "KiB",
    "energy_mj": "millijoules",
}


def check_budget(latency_ms: float | None) -> None:
    """Refuse a budget that is not a positive number, before anything is measured."""
    check_budgets({"latency_ms": latency_ms})


def check_budgets(asked: Any) -> None:
    """Refuse budgets among the settings `asked` that are not positive numbers, before anything is computed.

    What is no mapping, as in a damaged file, is left to who reads all of it.
    """
    for name, unit in UNITS.items() if isinstance(asked, Mapping) else ():
        most = asked.get(name)
        if most is not None and not 0 < most < float("inf"):
            raise ValueError(f"budget.{name} must be a positive number of {unit}, got {most:g}")
