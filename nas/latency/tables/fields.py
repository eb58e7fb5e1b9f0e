"""What a field of a file may hold: each function returns the value, or raises `ValueError` naming field and value."""

from __future__ import annotations

import re
from typing import Any

from nas.latency.measuring.visits import MOST_MS

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
LARGEST = 1e12


def name(value: Any, what: str) -> str:
    """A name that becomes part of a file name."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"{what} must be at most 100 letters, digits, '_', '-' and '.', got {_shown(value)}")
    return value


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string, got {_shown(value)}")
    return value


def number(value: Any, what: str, low: float = -LARGEST, high: float = LARGEST) -> float:
    """A finite number of at least `low` and at most `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        raise ValueError(f"{what} must be a finite number, got {_shown(value)}")
    if not low <= value <= high:
        raise ValueError(f"{what} must be from {low:g} to {high:g}, got {_shown(value)}")
    return float(value)


def whole(value: Any, what: str, low: int = 0, high: int = 10**12) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} must be a whole number from {low} to {high}, got {_shown(value)}")
    return value


def mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, got {_shown(value)}")
    return value


def listing(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, got {_shown(value)}")
    return value


def environment(value: Any) -> dict[str, Any]:
    """Where a table was measured: what is compared is text or a number, and times are times."""
    found = mapping(value, "environment")
    for key, entry in found.items():
        if isinstance(entry, dict | list) and key not in ("imported", "calm_ms", "elasticity"):
            raise ValueError(f"environment.{key} must be a plain value, got {_shown(entry)}")
    if "imported" in found:
        mapping(found["imported"], "environment.imported")
    for name, ms in mapping(found.get("calm_ms", {}), "environment.calm_ms").items():
        number(ms, f"environment.calm_ms.{name}", 1e-9, MOST_MS)
    for name, share in mapping(found.get("elasticity", {}), "environment.elasticity").items():
        number(share, f"environment.elasticity.{name}", 0.0, 1.0)
    if "slowdown" in found:
        number(found["slowdown"], "environment.slowdown", 0.0)
    if "reference_ms" in found:
        number(found["reference_ms"], "environment.reference_ms", 0.0)
    if "held_out_networks" in found:
        whole(found["held_out_networks"], "environment.held_out_networks")
    for name in ("code", "runtime_code"):
        if name in found:
            text(found[name], f"environment.{name}")
    return dict(found)


def network(index: int, data: Any) -> dict[str, Any]:
    """The record of a whole network that was timed."""
    try:
        record = mapping(data, "a network")
        text(record["arch"], "arch")
        if record["role"] not in ("fit", "held_out"):
            raise ValueError(f"role must be fit or held_out, got {_shown(record['role'])}")
        for key in ("measured_ms", "raw_ms", "estimate_ms"):
            number(record[key], key, -MOST_MS, MOST_MS)
        for key, value in mapping(record.get("features", {}), "features").items():
            number(value, key)
        return record
    except (KeyError, ValueError) as error:
        raise ValueError(f"network {index} of the latency table: {error}") from None


def check_calibration(found: dict[str, Any]) -> None:
    """Raise `ValueError` where what a table says of its calibration is not a string, list of notes or error."""
    text(found.get("model", ""), "calibration.model")
    for note in listing(found.get("notes", []), "calibration.notes"):
        text(note, "a note of the calibration")
    if "loo_mape_percent" in found:
        number(found["loo_mape_percent"], "calibration.loo_mape_percent", 0.0)


def interpolation(found: Any) -> dict[str, float] | None:
    """What a table says of the rows that were not measured: numbers, or None where there are none."""
    if found is None:
        return None
    return {key: number(value, f"interpolation.{key}", 0.0) for key, value in mapping(found, "interpolation").items()}


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:50]}..."
