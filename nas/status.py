"""Where a run stands: its phase, what is done, the time left, the best so far. Reads the run's files alone, so that any
shell, and any machine that sees the folder, can look."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from nas.report.front_rows import fault, run_folders, why_unfinished
from nas.runs.metrics import Record, read_metrics
from nas.runs.progress_file import SIGN_SECONDS, read_progress
from nas.runs.result_file import read_result
from nas.runs.run import Run
from nas.terminal.configuration.override_text import command
from nas.terminal.entry import DictConfig, check_types, entry
from nas.terminal.progress import console, format_seconds, log, table

SILENT_SECONDS = 4 * SIGN_SECONDS  # without a sign of life, after which a run elsewhere counts as dead
NOT_FIGURES = ("phase", "step", "time", "candidate")


@entry("status")
def main(cfg: DictConfig) -> None:
    check_types(cfg, {"run": str | None, "every": (float | None, 0.1)})
    if cfg.run is None:
        raise ValueError("name the run directory, or a folder of runs: python -m nas.status run=runs/...")
    folder = Path(cfg.run)
    while True:
        runs = [folder] if (folder / "config.yaml").exists() else run_folders(folder)
        if not runs:
            raise ValueError(f"{folder} holds no run (no config.yaml in it or below); give run=<a run directory>")
        if runs == [folder]:
            alone = Standing(folder)
            _clear(cfg.every)
            alone.show()
            running = alone.running
        else:
            rows, running = _several(folder, runs)
            _clear(cfg.every)
            table(str(folder), ("run", "state", "phase", "done", "left"), rows)
        if cfg.every is None or not running:
            return
        time.sleep(cfg.every)


def _clear(every: float | None) -> None:
    if every is not None and console().is_terminal:
        console().clear()


def _several(folder: Path, runs: Sequence[Path]) -> tuple[list[tuple[Any, ...]], bool]:
    """A row for each of `runs` below `folder`, and whether one of them works; that of one that is damaged, or cannot
    be read, says so."""
    rows: list[tuple[Any, ...]] = []
    running = False
    for run in runs:
        name = run.relative_to(folder)
        try:
            standing = Standing(run)
            rows.append((name, standing.state, *standing.innermost()))
            running |= standing.running
        except (ValueError, OSError) as error:
            rows.append((name, fault(error), None, None, None))
    return rows, running


class Standing:
    """One look at the run in `path`. Raises `ValueError` for files that are damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = Run.read_config(path)
        self.progress = read_progress(path)
        self.records = read_metrics(path)
        self.running = self.progress is not None and _is_alive(self.progress)
        self.state = self._state()

    def _state(self) -> str:
        found = self.progress
        if found is None:
            return "finished" if (self.path / "result.json").exists() else why_unfinished(self.path)
        if self.running:
            return "running"
        if found["ended"] is None:
            ago = format_seconds(max(time.time() - found["updated"], 0))
            return f"ended without a word, killed perhaps: the last sign of life is {ago} old"
        return str(found["ended"])

    def innermost(self) -> tuple[str | None, str | None, str | None]:
        """The phase that is open, what is done of it, the time left in it."""
        if not self.running or not self.phases:
            return None, None, None
        return _phase(self.phases[-1])

    @property
    def phases(self) -> list[dict[str, Any]]:
        return [] if self.progress is None else self.progress["phases"]

    def show(self) -> None:
        """Print all that is known, on one screen."""
        rows = list(self._facts())
        table(str(self.path), ("", ""), rows)
        if self.running and self.phases:
            table("now", ("phase", "done", "left", ""), [(*_phase(one), one["note"]) for one in self.phases])
        latest = {record["phase"]: record for record in self.records}
        if latest:
            cells = [(name, record["step"], _figures(record)) for name, record in latest.items()]
            table("latest figures", ("phase", "step", ""), cells)
        if (self.path / "report.html").exists():
            log(f"all of it on one page: {self.path / 'report.html'}")
        elif not self.running and self.state != "finished":
            began = Run.read_command(self.path) or "search"
            if began != "evaluate":  # which is never continued
                log(f"continue it with: {command(began, {'resume': str(self.path)})}")

    def _facts(self) -> Iterator[tuple[str, str]]:
        yield "state", self.state
        found = self.progress
        if found is not None:
            ended = found["ended"] is not None
            until = found["updated"] if ended or not self.running else time.time()
            yield "on", f"{found['host']}, process {found['pid']}"
            yield ("it took" if ended else "for"), format_seconds(max(until - found["began"], 0.0))
            if self.running and found["cores_busy"] is not None:
                yield "processor", f"{found['cores_busy']:.1f} of {found['cores']} cores busy"
        best = [value for r in self.records if isinstance(value := r.get("best_validation_top1_percent"), int | float)]
        if best:
            yield "best so far", f"{best[-1]:.2f}% of the validation images"
        if (self.path / "result.json").exists() and not self.running:
            result = read_result(self.path)
            if result["top1_percent"] is not None:
                yield "test accuracy", f"{result['top1_percent']:.2f}% top-1"
            if result["budget_met"] is not None:
                yield "budget", "met" if result["budget_met"] else "NOT MET"


def _is_alive(progress: dict[str, Any]) -> bool:
    """Whether the process that wrote `progress` still works: asked here, or judged by its last sign elsewhere."""
    if progress["ended"] is not None:
        return False
    if progress["host"] == platform.node():
        try:
            return (
                psutil.Process(progress["pid"]).create_time() <= progress["began"]
            )  # and not a later one of that number
        except psutil.Error:
            return False
    return time.time() - float(progress["updated"]) < SILENT_SECONDS


def _phase(one: dict[str, Any]) -> tuple[str, str, str | None]:
    left = one["seconds_left"]
    return one["description"], one["done"], None if left is None else f"about {format_seconds(left)}"


def _figures(record: Record) -> str:
    found = {name: value for name, value in record.items() if name not in NOT_FIGURES and value is not None}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in found.items()
    )


if __name__ == "__main__":
    main()
