"""What a latency table belongs to: a device, a runtime and the way it is driven."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

LOCAL = "local"  # the name of whatever machine we run on
KIT_RUNTIME = "onnxruntime"  # of kits, which are measured without torch
NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")


@dataclass(frozen=True, slots=True)
class Device:
    """The key of a latency table. Times of two different keys are never mixed.

    `name` is free (`local` is the machine we run on); `runtime` executes networks; `dtype` is the arithmetic;
    `batch_size` images are processed per call, and every time is the time of one such call in milliseconds;
    `threads` is the number of CPU threads the runtime may use; `processor` is `cpu` or `cuda`.

    `python` is no part of the key: the interpreter that has the runtime installed, where it is not this one.

    Raises `ValueError` for names that cannot be parts of a file name, and for batches or threads below 1.
    """

    name: str = "local"
    runtime: str = "onnxruntime"
    dtype: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    processor: str = "cpu"
    python: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("name", "runtime", "dtype", "processor"):  # all of them are parts of file names
            value = getattr(self, name)
            if not isinstance(value, str) or not NAME.fullmatch(value):
                raise ValueError(f"device {name} must be letters, digits, '_' and '.', got {value!r}")
        for name in ("batch_size", "threads"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"device {name} must be a whole number >= 1, got {value!r}")
        if self.python is not None and (not isinstance(self.python, str) or not self.python):
            raise ValueError(f"device python must be the path of a Python interpreter, got {self.python!r}")

    @property
    def key(self) -> str:
        """The key as a file-name part."""
        processor = "" if self.processor == "cpu" else f"-{self.processor}"
        return f"{self.name}-{self.runtime}{processor}-{self.dtype}-b{self.batch_size}-t{self.threads}"

    def __str__(self) -> str:
        return self.key

    def to_dict(self) -> dict[str, Any]:
        """The key as plain data: what tables, kits and identities hold. Files name no interpreter."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "python"}

    @staticmethod
    def from_dict(data: Any) -> Device:
        names = {field.name for field in dataclasses.fields(Device)} - {"python"}
        if not isinstance(data, dict) or set(data) != names:
            raise ValueError(f"a device is an object with {', '.join(sorted(names))}, got {data!r}")
        for name in ("name", "runtime", "dtype", "processor"):
            if not isinstance(data[name], str):
                raise ValueError(f"device {name} must be a string, got {data[name]!r}")
        return Device(**data)

    def to_request(self) -> dict[str, Any]:
        """The key and the interpreter: what a process that measures for us is told."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_request(data: Any) -> Device:
        """What `to_request` gave; not for files, which must not name programs to run."""
        return dataclasses.replace(
            Device.from_dict({k: v for k, v in data.items() if k != "python"}), python=data["python"]
        )


def version(package: str) -> str | None:
    """The version of an installed `package`; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_pin(threads: int) -> None:
    """Raise `ValueError` for more than one thread of a runtime that is to be bound to one core."""
    if threads > 1:
        raise ValueError(f"pin=true binds measuring to one core, which device.threads={threads} would share; use one")


@contextlib.contextmanager
def pinned(wanted: bool, threads: int) -> Iterator[bool]:
    """Bind the calling thread to one CPU core meanwhile, where wanted and allowed; yields whether it is bound.

    Raises `ValueError` for more than one of the runtime's `threads`: they would share the core.
    """
    if wanted:
        check_pin(threads)
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
