"""Run directories: everything one command leaves behind, in one folder that an interrupted command continues in."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from nas.files import read_json, write_json, write_text
from nas.latency.device import cpu_model

RECORDED_PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "onnxruntime", "onnx", "optuna", "hydra-core")
_BEFORE_ANY_WORK = {"config.yaml", "env.json", ".lock", "checkpoints", "table.json"}  # the table is a copy


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
        self._made: list[Path] = []  # directories above that did not exist before
        self._lock = lock
        self._metrics: IO[str] | None = None
        self._board: Any = None

    @classmethod
    def open(cls, run_dir: str | None, resume: str | None, name: str, config: dict[str, Any]) -> Run:
        """Create `run_dir` (default `runs/<time>-<name>`), or continue in the directory `resume`.

        `config` is stored as `config.yaml` of a new run. Raises `ValueError` if `run_dir` already holds files, if
        `resume` is not a run directory, or if another process is using it.
        """
        if resume:
            path = Path(resume)
            cls.read_config(path)
        elif run_dir:
            path = Path(run_dir)
        else:
            path = Path("runs") / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{name}"
        made = [folder for folder in path.parents if not folder.exists()]
        if not resume and not run_dir:
            path = _free_path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"run_dir={path} cannot be made: a file of that name is in the way") from None
        run = cls(path, _lock(path), resumed=bool(resume))
        run._made = made
        try:
            run._begin(config)
        except BaseException:
            run._lock.close()
            raise
        return run

    def _begin(self, config: dict[str, Any]) -> None:
        if self.resumed:
            self._drop_torn_line()
            environment = read_json(self.path / "env.json", "environment")
            environment.setdefault("resumed", []).append(describe_environment())
            write_json(self.path / "env.json", environment)
        else:
            taken = sorted(entry.name for entry in self.path.iterdir() if entry.name != ".lock")
            if "config.yaml" in taken:
                raise ValueError(
                    f"run_dir={self.path} already holds a run; continue it with resume={self.path} or name another"
                )
            if taken:
                raise ValueError(f"run_dir={self.path} is not empty (it holds {taken[0]}); name a new directory")
            self.checkpoints.mkdir()
            write_json(self.path / "env.json", describe_environment())
            write_text(self.path / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

    @staticmethod
    def read_config(path: str | Path) -> dict[str, Any]:
        """The resolved configuration a run was started with. Raises `ValueError` where `path` is no run directory."""
        file = Path(path) / "config.yaml"
        try:
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            why = "it has no config.yaml" if Path(path).exists() else "there is no such folder"
            raise ValueError(f"{path} is not a run directory ({why})") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{file} is damaged: {' '.join(str(error).split())}") from None
        if not isinstance(config, dict):
            raise ValueError(f"{file} is damaged: it holds no settings")
        return config

    @staticmethod
    def read_command(path: str | Path) -> str | None:
        """The command that began a run, such as `search`; None where its directory does not say."""
        try:
            words = json.loads((Path(path) / "env.json").read_text(encoding="utf-8"))["command"].split()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        names = [word.removeprefix("nas.") for word in words if word.startswith("nas.")]
        return names[0] if names else None

    # -- metrics

    def log(self, phase: str, step: int, **values: float | int | str | None) -> None:
        """Append one record to `metrics.jsonl` and show its numbers in TensorBoard as `<phase>/<name>`."""
        record = {"phase": phase, "step": step, "time": round(time.time(), 3)}
        record |= {name: _plain(value) for name, value in values.items()}
        if self._metrics is None:
            self._metrics = (self.path / "metrics.jsonl").open("a")
        self._metrics.write(json.dumps(record, allow_nan=False) + "\n")
        self._metrics.flush()
        self._show(record)

    def records(self, phase: str | None = None) -> list[dict[str, Any]]:
        """What `log` has recorded, in order; of one `phase` or of all. NaN and infinity come back as None."""
        return [record for record in read_metrics(self.path) if phase in (None, record["phase"])]

    def rewind(self, phase: str, step: int) -> None:
        """Forget the first record of `phase` with a step >= `step` and everything logged after it.

        Called when a phase continues at `step`, so that metrics read as those of an uninterrupted run.
        """
        records = read_metrics(self.path)
        keep = next((i for i, r in enumerate(records) if r["phase"] == phase and r["step"] >= step), len(records))
        if keep == len(records):
            return
        self._close_metrics()
        write_text(self.path / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records[:keep]))

    def _drop_torn_line(self) -> None:
        """Remove a last line that a killed process wrote only in part."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        text = path.read_text(encoding="utf-8", errors="replace")
        if text and not text.endswith("\n"):
            write_text(path, text[: text.rfind("\n") + 1])

    def _show(self, record: dict[str, Any]) -> None:
        if self._board is None:
            # Event files cannot be rewound, so they are written anew from the records we keep.
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
            self._board = SummaryWriter(str(self.path / "tensorboard"))
            for earlier in read_metrics(self.path)[:-1]:
                self._add_scalars(earlier)
        self._add_scalars(record)

    def _add_scalars(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if name not in ("phase", "step", "time") and isinstance(value, int | float):
                self._board.add_scalar(f"{record['phase']}/{name}", value, record["step"], walltime=record["time"])

    # -- results and the end

    def write_json(self, name: str, data: Any) -> Path:
        """Write `data` as `<run>/<name>` atomically."""
        return write_json(self.path / name, data)

    def _close_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        if self._board is not None:
            self._board.close()
            self._board = None

    def _is_blank(self) -> bool:
        entries = {entry.name for entry in self.path.iterdir()}
        return entries <= _BEFORE_ANY_WORK and not any(self.checkpoints.iterdir())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._close_metrics()
        except OSError:  # a full disk: the error that brought us here says so
            if error is None:
                raise
        if isinstance(error, Exception) and not self.resumed and self._is_blank():
            shutil.rmtree(self.path)
            with contextlib.suppress(OSError):  # another run may lie beside
                for folder in self._made:
                    folder.rmdir()
        elif error is not None:
            error.add_note(f"resume={self.path}")
        self._lock.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The records of a run's `metrics.jsonl`, in order; an incomplete last line is ignored."""
    file = Path(path) / "metrics.jsonl"
    if not file.exists():
        return []
    records = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not line.endswith("\n"):
            break
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {number} is damaged: {error}") from None
    return records


def describe_environment() -> dict[str, Any]:
    """Versions, machine, command line and time: what someone needs to repeat or doubt a figure."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": shlex.join([Path(sys.executable).name, *_module_arguments()]),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpu_count": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "gpu": _gpu_name(),
    }


def _module_arguments() -> list[str]:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return ["-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]] if spec else sys.argv


def _gpu_name() -> str | None:
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name(0) if torch and torch.cuda.is_available() else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the source this runs from, with `+changes` where it was edited; None for an installed package."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        run = [
            subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, timeout=10, check=True)
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return run[0].stdout.strip() + ("+changes" if run[1].stdout.strip() else "")


def _plain(value: float | int | str | None) -> float | int | str | None:
    """`value` as JSON can hold it: scalars of numpy and torch become Python's, NaN and infinity become None."""
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


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


def _lock(path: Path) -> IO[str]:
    file = (path / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise ValueError(f"run directory {path} is in use by another process (pid {owner}); wait for it") from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
