"""What a runtime declares: which arithmetic and processors it has, whose versions count, and how it runs a module."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from nas.latency.device import Device
from nas.latency.measuring.timing import Copies

if TYPE_CHECKING:
    from torch import nn


class Runtime(ABC):
    """Something that executes networks on this machine; `device.runtime` names it.

    `dtypes` is the arithmetic it offers (`device.dtype`), `processors` where it runs, `packages` those whose versions a
    table records. `computes_in_caller`: with one thread on a CPU, all of a call is computed in the thread that calls,
    so that the time in which the system took the core away may be left out (see `timing.timed`).
    """

    name: ClassVar[str]
    dtypes: ClassVar[Sequence[str]]
    processors: ClassVar[Sequence[str]] = ("cpu",)
    packages: ClassVar[Sequence[str]] = ("torch",)
    computes_in_caller: ClassVar[bool] = False

    @abstractmethod
    def load(self, module: nn.Module, shape: tuple[int, ...], device: Device, count: int) -> Copies:
        """`module` in eval mode, loaded `count` times to run on inputs of `shape` (batch, channels, height, width)."""

    def require_cuda(self) -> None:
        """Raise `ValueError` with the way out where this machine has no GPU; needed where `cuda` is a processor."""
        raise ValueError(
            f"runtime {self.name} lists cuda among its processors and has no require_cuda(), which checks for a GPU; "
            "define it, or measure on the CPU: device.processor=cpu"
        )

    def in_calling_thread(self, device: Device) -> bool:
        """Whether a call for `device` is computed by its caller alone."""
        return self.computes_in_caller and device.processor == "cpu" and device.threads == 1
