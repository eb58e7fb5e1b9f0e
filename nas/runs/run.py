"""Run directories: everything one command leaves behind, in one folder that an interrupted command continues in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from nas.runs import environment
from nas.runs.files import is_left, is_partial, read_json, write_json, write_text
from nas.runs.locks import lock
from nas.runs.metrics import Metrics, Record, read_metrics
from nas.runs.progress_file import FILE as PROGRESS
from nas.runs.progress_file import ProgressFile
from nas.runs.result_file import CLASSES, read_environment
from nas.terminal.configuration.override_text import command
from nas.terminal.configuration.plain_yaml import read_yaml, write_yaml
from nas.terminal.progress import log
from search_spaces.plain_data import identity

__all__ = ["Run", "read_metrics"]

_BEFORE_ANY_WORK = {"config.yaml", "env.json", ".lock", "checkpoints", "table.json", PROGRESS}  # the table is a copy
_GROWING = ("metrics.jsonl", "trials.db")
_SPOKEN_FOR = ("resume", "run_dir", "debug")  # settings that say where and how, not what


class Run:
    """A locked run directory: `config.yaml`, `env.json`, `metrics.jsonl`, `checkpoints/`, `tensorboard/` and results.

    Open it with `Run.open` and use it as a context manager. The lock belongs to the process and is released by the
    operating system however that ends, so a killed run can be continued at once. A new run that fails before any
    work of its own was logged, saved or written (a copied latency table is none) leaves no directory.
    """

    def __init__(self, path: Path, lock: IO[str], resumed: bool) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.resumed = resumed
        self.metrics = Metrics(path)
        self._made: list[Path] = []  # the directory and those above, as far as they did not exist before
        self._lock = lock
        self._before: tuple[object, ...] = ()  # what had been done when it was continued
        self._standing: ProgressFile | None = None
        self._former: dict[str, Any] | None = None  # its settings, where it was continued with others

    @classmethod
    def open(cls, run_dir: str | None, resume: str | None, name: str, config: dict[str, Any]) -> Run:
        """Create `run_dir` (default `runs/<time>-<name>`), or continue in the directory `resume`.

        `config` is stored as `config.yaml` of a new run. Raises `ValueError` if `run_dir` already holds files, if
        `resume` is not a run directory or its settings were changed by hand, or if another process is using it.
        """
        path = Path(resume or run_dir or f"runs/{time.strftime('%Y-%m-%d_%H-%M-%S')}-{name}")
        if resume:
            cls.read_config(path)
        made = [folder for folder in (path, *path.parents) if not folder.exists()]
        if not resume and not run_dir:
            path = _free_path(path)
            made[:1] = [path]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"run_dir={path} cannot be made: a file of that name is in the way") from None
        run = cls(path, _lock(path), resumed=bool(resume))
        run._made = made
        try:
            run._continue(config) if run.resumed else run._begin(config)
            run._standing = ProgressFile(path)
        except BaseException:
            run._lock.close()
            raise
        return run

    def _begin(self, config: dict[str, Any]) -> None:
        taken = sorted(e.name for e in self.path.iterdir() if e.name != ".lock" and not is_partial(e.name))
        if taken and self._is_half_made(taken):
            log(f"{self.path} holds a run that was only half made; it is begun again")
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            for name in set(taken) - {"checkpoints"}:
                (self.path / name).unlink(missing_ok=True)
        elif "config.yaml" in taken:
            again = f"continue it with {command(None, {'resume': str(self.path)})} or "
            again = "" if self.read_command(self.path) == "evaluate" else again  # which is never continued
            raise ValueError(f"run_dir={self.path} already holds a run; {again}name another")
        elif taken:
            raise ValueError(f"run_dir={self.path} is not empty (it holds {taken[0]}); name a new directory")
        self._remove_temporary()
        self.checkpoints.mkdir()
        write_json(self.path / environment.FILE, environment.describe_environment())
        self._write_config(config)

    def _is_half_made(self, taken: list[str]) -> bool:
        """Whether a new run that could not even store its settings left these files (a full disk), and nothing else.

        It made the folder of checkpoints first: without that, files of these names are the user's own.
        """
        if not {"checkpoints"} <= set(taken) <= _BEFORE_ANY_WORK or not self.checkpoints.is_dir():
            return False
        if any(self.checkpoints.iterdir()):
            return False
        try:
            self.read_config(self.path)
        except ValueError:
            return True
        return False

    def _continue(self, config: dict[str, Any]) -> None:
        self._check_config()
        self._remove_temporary()
        self.checkpoints.mkdir(exist_ok=True)
        if _what(config) != _what(self.read_config(self.path)):  # settings that may change, given on the command line
            self._former = self.read_config(self.path)
            self._write_config(config)
        elif not (self.checkpoints / "config.yaml").exists():
            write_text(self.checkpoints / "config.yaml", (self.path / "config.yaml").read_text(encoding="utf-8"))
        self.metrics.repair()
        now = environment.describe_environment()
        try:
            known = self._known_environment()
        except ValueError as error:
            log(f"{error}; the run goes on, what it began with is no longer known")
            with contextlib.suppress(FileNotFoundError):
                (self.path / environment.FILE).replace(self.path / "env.damaged.json")
            known = {**now, "lost": "of the pieces before; this is the machine of the next"}
        write_json(self.path / environment.FILE, {**known, "resumed": [*known.get("resumed", []), now]})
        self._before = self._progress()

    def _known_environment(self) -> dict[str, Any]:
        """`env.json` as it stands. Raises `ValueError` where it is missing or damaged."""
        known: dict[str, Any] = read_json(self.path / environment.FILE, "environment")
        read_environment(self.path)  # its fields are what they must be
        return known

    def _write_config(self, config: dict[str, Any]) -> None:
        text = write_yaml(config)
        write_text(self.path / "config.yaml", text)
        write_text(self.checkpoints / "config.yaml", text)  # what the checkpoints were made with

    def _check_config(self) -> None:
        """Settings are those of the checkpoints: a file changed by hand would mix two runs in one."""
        kept = self.checkpoints / "config.yaml"
        if kept.exists():
            identity.check(
                f"run directory {self.path}",
                _what(_settings(kept)),
                _what(self.read_config(self.path)),
                f"its config.yaml was changed by hand: put it back (a copy: {kept}), or begin a new run with run_dir=",
            )

    @staticmethod
    def read_config(path: str | Path) -> dict[str, Any]:
        """The resolved configuration a run was started with. Raises `ValueError` where there is no run in `path`."""
        return _settings(Path(path) / "config.yaml")

    @staticmethod
    def read_command(path: str | Path) -> str | None:
        """The command that began a run, such as `search`; None where its directory does not say."""
        try:
            words = json.loads((Path(path) / environment.FILE).read_text(encoding="utf-8"))["command"].split()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        names = [word.removeprefix("nas.") for word in words if word.startswith("nas.")]
        return names[0] if names else None

    # -- metrics

    def log(self, phase: str, step: int, **values: float | int | str | None) -> None:
        """Add one record to `metrics.jsonl` and show its numbers in TensorBoard as `<phase>/<name>`."""
        self.metrics.log(phase, step, values)

    def records(self, phase: str | None = None) -> list[Record]:
        """What `log` has recorded, in order; of one `phase` or of all. NaN and infinity come back as None."""
        return [record for record in self.metrics.read() if phase in (None, record["phase"])]

    def rewind(self, phase: str, step: int) -> None:
        """Forget the records of `phase` from `step` on; those of other phases stay.

        Called when a phase continues at `step`, so that metrics read as those of an uninterrupted run.
        """
        self.metrics.rewind(phase, step)

    # -- results and the end

    def write_json(self, name: str, data: Any) -> Path:
        """Write `data` as `<run>/<name>` atomically."""
        return write_json(self.path / name, data)

    def _remove_temporary(self) -> None:
        for folder in (self.path, self.checkpoints, self.path / "model"):  # into which an export may be under way
            for entry in folder.iterdir() if folder.is_dir() else ():
                if is_partial(entry.name) and entry.is_file() and is_left(entry):
                    entry.unlink()

    def _progress(self) -> tuple[object, ...]:
        """What has been done so far: which files there are, the checkpoints, how much is recorded."""
        folders = [folder for folder in (self.path, self.checkpoints) if folder.is_dir()]
        names = {entry.name for folder in folders for entry in folder.iterdir()} - {PROGRESS, CLASSES}
        sizes = [file.stat().st_size for name in _GROWING if (file := self.path / name).exists()]
        return names, sizes, sorted(file.stat().st_mtime_ns for file in self.checkpoints.glob("*.pt"))

    def _is_blank(self) -> bool:
        entries = {entry.name for entry in self.path.iterdir()}
        kept = {entry.name for entry in self.checkpoints.iterdir()}
        return entries <= _BEFORE_ANY_WORK and kept <= {"config.yaml", CLASSES}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._standing is not None:
            self._standing.stop(error)
        try:
            self.metrics.end()
        except OSError:  # a full disk: the error that brought us here says so
            if error is None:
                raise
        if isinstance(error, Exception) and not self.resumed and self._is_blank():
            with contextlib.suppress(OSError):  # another run may lie beside, and what is told is the error
                shutil.rmtree(self.checkpoints)
                for entry in self.path.iterdir():
                    entry.unlink()
                for folder in self._made:
                    folder.rmdir()
        elif error is not None and self._fails_again(error):
            if self._former is not None:  # what refused to go on with the new settings goes on with the former
                self._write_config(self._former)
        elif error is not None:
            error.add_note(f"resume={self.path}")
        self._lock.close()

    def _fails_again(self, error: BaseException) -> bool:
        """Whether a continued run failed with nothing done: continuing it once more would change nothing."""
        return self.resumed and isinstance(error, ValueError) and self._progress() == self._before


def _what(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide what a run computes."""
    return {key: value for key, value in config.items() if key not in _SPOKEN_FOR}


def _settings(file: Path) -> dict[str, Any]:
    path = file.parent
    try:
        config = read_yaml(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        why = "it has no config.yaml" if path.exists() else "there is no such folder"
        raise ValueError(f"{path} is not a run directory ({why})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file} is damaged: it holds no settings")
    return config


def _free_path(path: Path) -> Path:
    """`path`, with a number appended if two runs start in the same second."""
    candidate, count = path, 1
    while True:
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            count += 1
            candidate = path.with_name(f"{path.name}-{count}")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """The run directory `path` for this process alone. Raises `ValueError` where another one is using it."""
    file = _lock(path)
    try:
        yield
    finally:
        file.close()


def _lock(path: Path) -> IO[str]:
    name = path / ".lock"
    file = name.open("a+")
    try:
        if not lock(file, str(name), "give run_dir=<a folder on a local disk>", wait=False):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise ValueError(f"run directory {path} is in use by another process (pid {owner}); wait for it")
    except BaseException:
        file.close()
        raise
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
