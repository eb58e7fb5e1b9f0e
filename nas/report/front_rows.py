"""What a folder of runs holds: finished runs, all of their networks, and why the others have no result."""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.latency.device import LOCAL
from nas.runs.files import read_json
from nas.runs.progress_file import read_progress
from nas.runs.result_file import read_environment, read_result
from nas.runs.run import Run, read_metrics
from nas.runs.stored import Count, Milliseconds, NonNegative, read_record, record
from nas.terminal.configuration.override_text import command
from nas.train.answers.stored import FILE as ANSWERS

Row = dict[str, Any]
MARKS = ("config.yaml", "result.json")  # files by which a run directory is known
CHECKPOINTS = "checkpoints"  # of a run: they keep a copy of its settings
# Settings of data under which the test images stay the same, whatever is done to them.
SAME_TEST = (
    *("resolution", "crop_percent", "in_channels", "train_limit", "memory_limit_mb", "workers"),
    *("image_column", "label_column"),
)
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
    """The run directories below `folder` (what holds a configuration or a result), by name.

    Those that links lead to are among them, and each is there once: by its own name, where it lies there itself.
    """
    found: set[Path] = set()
    known: set[Path] = set()
    waiting = deque([Path(folder)])
    while waiting:
        here = waiting.popleft()
        if here.resolve() in known:
            continue
        known.add(here.resolve())
        for entry in _inside(here):
            if entry.name in MARKS:
                found.add(here)
            elif _is_folder(entry):  # links behind all that lies here
                (waiting.append if entry.is_symlink() else waiting.appendleft)(here / entry.name)
    return sorted(path for path in found if not (path.name == CHECKPOINTS and path.parent in found))


def _inside(folder: Path) -> list[os.DirEntry[str]]:
    """What `folder` holds, by name; nothing where nobody may look into it. An entry knows what it is without a further
    look at the disk, which there are thousands of in a folder of images."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether `entry` is a folder, or a link to one; not where the link leads to what may not be looked at."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def finished_runs(folder: str | Path) -> list[Path]:
    """The run directories below `folder` that have a result, by name."""
    return [run for run in run_folders(folder) if (run / "result.json").exists()]


def collect(folder: str | Path) -> tuple[list[Row], list[tuple[str, str]]]:
    """A row for every network of every finished run, and the name of each other run with the reason why it has none.

    The first network of a run is that of its result; others are those that `nas.derive` wrote into the run's folder.
    Beside its figures a row has its `run`, the run's `folder`, the network's `arch_file`, and `test_data`, the settings
    that say which images it was tested on; where runs on other test images or other machines go by one name, `data` or
    `device` says which. A run whose files are damaged or cannot be read is among the others.
    """
    rows: list[Row] = []
    unfinished: list[tuple[str, str]] = []
    for run in run_folders(folder):
        name = os.path.relpath(run, folder)
        try:
            if not (run / "result.json").exists():
                unfinished.append((name, why_unfinished(run)))
                continue
            about = {
                "tested_on": _tested_on(run),
                "test_data": _test_data(run),
                "machine": read_environment(run)["cpu"],
            }
            result = {**read_result(run), **about}
            rows += [
                {**result, "run": name, "folder": name, "arch_file": run / "arch.json"},
                *_derived(run, result, name),
            ]
        except (ValueError, OSError) as error:
            unfinished.append((name, fault(error)))
    _tell_apart(rows, "data", "tested_on", lambda row: True)
    _tell_apart(rows, "device", "machine", lambda row: str(row["device"]).startswith(f"{LOCAL}-"))
    return rows, unfinished


def _tested_on(run: Path) -> str | None:
    """How many test images of how many classes judged the network of `run`; None where it does not say."""
    if not (run / ANSWERS).exists():
        return None
    found = read_record(run / ANSWERS, "answers", {"test_images": Count, "class_images": dict[str, Count]})
    return f"{found['test_images']:,} test images of {len(found['class_images'])} classes"


def _tell_apart(rows: list[Row], name: str, by: str, concerns: Callable[[Row], bool]) -> None:
    """Add to `name` what it is `by`, in those of `rows` that this `concerns`, where one name has several."""
    several: dict[str, set[str]] = {}
    for row in rows:
        if concerns(row) and row[by] is not None:
            several.setdefault(row[name], set()).add(row[by])
    for row in rows:
        if concerns(row) and len(several.get(row[name], ())) > 1:
            row[name] = f"{row[name]} ({row[by] or 'not known'})"


def _test_data(run: Path) -> dict[str, Any]:
    """The settings of the data of `run` that choose its test images; empty where it does not say."""
    try:
        data = Run.read_config(run).get("data")
    except ValueError:
        return {}
    return {key: value for key, value in data.items() if key not in SAME_TEST} if isinstance(data, dict) else {}


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
            if figures["device"] != result["device"]:
                figures["machine"] = None  # the run's own says nothing of that
            called = {"run": f"{name}/{path.parent.name}/{known['file']}", "folder": name}
            arch_file = path.parent / Path(known["file"]).name
            rows.append({**result, "top1_percent": None, **figures, **called, "arch_file": arch_file})
    return rows


def fault(error: ValueError | OSError) -> str:
    """What is the matter with the files of a run, which `error` was raised for."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename} cannot be used: {error.strerror.lower()}"
    return str(error)


def why_unfinished(run: Path) -> str:
    """Where a run without a result stands, from its files alone."""
    if _is_locked(run):
        return "still running"
    began = Run.read_command(run)
    if began == "evaluate":  # which is never continued
        return (
            "an evaluation" if (run / "metrics.json").exists() else "an evaluation that was interrupted; make it again"
        )
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
