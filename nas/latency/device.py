"""What a latency table belongs to: a device, a runtime and the way it is driven."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from nas.latency.measuring.standalone import check_threads, cpu_model, machine

__all__ = ["Device", "cpu_model", "environment", "pinned"]

NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
RUNTIMES = ("onnxruntime", "torch")
PROCESSORS = ("cpu", "cuda")
DTYPES = {"onnxruntime": ("fp32", "int8"), "torch": ("fp32", "bf16")}


@dataclass(frozen=True, slots=True)
class Device:
    """The key of a latency table. Times of two different keys are never mixed.

    `name` is free (`local` is the machine we run on); `runtime` executes networks; `dtype` is the arithmetic;
    `batch_size` images are processed per call, and every time is the time of one such call in milliseconds;
    `threads` is the number of CPU threads the runtime may use; `processor` is `cpu` or `cuda`.
    """

    name: str = "local"
    runtime: str = "onnxruntime"
    dtype: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    processor: str = "cpu"

    def __post_init__(self) -> None:
        for field in ("name", "runtime", "dtype", "processor"):  # all of them are parts of file names
            value = getattr(self, field)
            if not isinstance(value, str) or not NAME.fullmatch(value):
                raise ValueError(f"device {field} must be letters, digits, '_' and '.', got {value!r}")
        for field in ("batch_size", "threads"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"device {field} must be a whole number >= 1, got {value!r}")

    def check_local(self) -> None:
        """Raise `ValueError` where this machine cannot measure for the key (an unknown runtime, dtype or processor)."""
        if self.runtime not in RUNTIMES:
            raise ValueError(f"unknown runtime {self.runtime!r}; one of {', '.join(RUNTIMES)}")
        if self.dtype not in DTYPES[self.runtime]:
            raise ValueError(
                f"runtime {self.runtime} does not measure {self.dtype!r}; one of {', '.join(DTYPES[self.runtime])}"
            )
        if self.processor not in PROCESSORS:
            raise ValueError(f"unknown processor {self.processor!r}; one of {', '.join(PROCESSORS)}")
        if self.processor == "cuda":
            _require_cuda(self.runtime)
        check_threads(self.threads)

    @property
    def key(self) -> str:
        """The key as a file-name part."""
        processor = "" if self.processor == "cpu" else f"-{self.processor}"
        return f"{self.name}-{self.runtime}{processor}-{self.dtype}-b{self.batch_size}-t{self.threads}"

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(data: Any) -> Device:
        names = {field.name for field in dataclasses.fields(Device)}
        if not isinstance(data, dict) or set(data) != names:
            raise ValueError(f"a device is an object with {', '.join(sorted(names))}, got {data!r}")
        for name in ("name", "runtime", "dtype", "processor"):
            if not isinstance(data[name], str):
                raise ValueError(f"device {name} must be text, got {data[name]!r}")
        return Device(**data)


def _require_cuda(runtime: str) -> None:
    if runtime == "torch":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("processor=cuda, but torch sees no CUDA device; use processor=cpu")
    else:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise ValueError(
                "processor=cuda, but this onnxruntime has no CUDA provider; install onnxruntime-gpu or use the cpu"
            )


def environment(device: Device) -> dict[str, Any]:
    """Where and with what a table is measured: what a reader needs to judge or repeat it."""
    packages = ["torch"] + (["onnxruntime"] if device.runtime == "onnxruntime" else [])
    found = {**machine(), **{name: _version(name) for name in packages}}
    if device.processor == "cuda":
        import torch

        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def pinned(wanted: bool, threads: int) -> Iterator[bool]:
    """Bind the calling thread to one CPU core meanwhile, where wanted and allowed; yields whether it is bound.

    Raises `ValueError` for more than one of the runtime's `threads`: they would share the core.
    """
    if wanted and threads > 1:
        raise ValueError(f"pin=true binds measuring to one core, which device.threads={threads} would share; use one")
    if not wanted or not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {max(before)})
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)
