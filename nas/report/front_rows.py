"""What a folder of runs holds: finished runs, all of their networks, and why the others have no result."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from nas.runs.files import read_json
from nas.runs.progress_file import read_progress
from nas.runs.result_file import read_result
from nas.runs.run import Run, read_metrics
from nas.runs.stored import Count, Milliseconds, NonNegative, record
from nas.terminal.configuration.override_text import command

Row = dict[str, Any]
CHECKPOINTS = "checkpoints"  # of a run: they keep a copy of its settings
DERIVED = {  # of a network in the derived.json of nas.derive
    "file": str,
    **dict.fromkeys(("asked_latency_ms", "measured_latency_ms"), Milliseconds | None),
    "estimated_latency_ms": float | None,
    **dict.fromkeys(("asked_macs", "asked_params"), Count | None),
    **dict.fromkeys(("params", "macs"), Count),
    **dict.fromkeys(("memory_kib", "weights_kib", "energy_mj"), NonNegative | None),
    **dict.fromkeys(("asked_memory_kib", "asked_weights_kib", "asked_energy_mj"), NonNegative | None),
    "budget_met": bool | None,
    "counted": dict | None,
    "device": str | None,  # whose times these are, which need not be the run's
}


def run_folders(folder: str | Path) -> list[Path]:
    """The run directories below `folder` (what holds a configuration or a result), by name."""
    found = {path.parent for name in ("config.yaml", "result.json") for path in Path(folder).rglob(name)}
    return sorted(path for path in found if not (path.name == CHECKPOINTS and path.parent in found))


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories below `folder` that have a result, by name."""
    return [run for run in run_folders(folder) if (run / "result.json").exists()]


def collect(folder: str | Path) -> tuple[list[Row], list[tuple[str, str]]]:
    """A row for every network of every finished run, and the name of each other run with the reason why it has none.

    The first network of a run is that of its result; others are those that `nas.derive` wrote into the run's folder.
    Beside its figures a row has its `run`, the run's `folder` and the network's `arch_file`. A run whose files are
    damaged is among the others.
    """
    rows: list[Row] = []
    unfinished: list[tuple[str, str]] = []
    for run in run_folders(folder):
        name = os.path.relpath(run, folder)
        if not (run / "result.json").exists():
            unfinished.append((name, why_unfinished(run)))
            continue
        try:
            result = read_result(run)
            rows += [
                {**result, "run": name, "folder": name, "arch_file": run / "arch.json"},
                *_derived(run, result, name),
            ]
        except ValueError as error:
            unfinished.append((name, str(error)))
    return rows, unfinished


def _derived(run: Path, result: Row, name: str) -> list[Row]:
    rows = []
    for path in sorted(run.glob("*/derived.json")):
        networks = read_json(path, "derived networks")
        if not isinstance(networks, list):
            raise ValueError(f"derived networks {path} must be a list; it is damaged or none of ours")
        for network in networks:
            known = record(network, DERIVED, f"derived networks {path}: a network")
            figures = {key: known[key] for key in DERIVED if key != "file"}
            figures["device"] = network.get("device", result["device"])  # files from before it was written: the run's
            called = {"run": f"{name}/{path.parent.name}/{known['file']}", "folder": name}
            arch_file = path.parent / Path(known["file"]).name
            rows.append({**result, "top1_percent": None, **figures, **called, "arch_file": arch_file})
    return rows


def why_unfinished(run: Path) -> str:
    """Where a run without a result stands, from its files alone."""
    if _is_locked(run):
        return "still running"
    began = Run.read_command(run)
    again = f"continue it with: {command(began or 'search', {'resume': str(run)})}"
    try:
        records = read_metrics(run)
    except ValueError as error:
        return f"its records are damaged: {error}"
    how = _last_word(run)
    if not records:
        return f"{how}ended before its first epoch or candidate; {again}"
    last = records[-1]
    return f"{how}ended after {last.get('phase')} step {last.get('step')}; {again}"


def _last_word(run: Path) -> str:
    """How the run said that it ended (`failed: ...; `), where it did."""
    try:
        found = read_progress(run)
    except ValueError:
        return ""
    ended = None if found is None else found["ended"]
    return "" if ended in (None, "finished") else f"{ended}; "


def _is_locked(run: Path) -> bool:
    try:
        with (run / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock, or none to be had on this file system
        return False
    return False
