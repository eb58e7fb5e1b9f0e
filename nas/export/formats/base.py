"""What a file format declares: how it is called, what it needs, how a network is written and the file run again."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nas.latency.placement import Placement

if TYPE_CHECKING:
    from torch import Tensor, nn

Run = Callable[[np.ndarray], np.ndarray]
"""Maps images (B, C, H, W) float32 to logits (B, num_classes)."""


def under_torch(network: Callable[[Tensor], Tensor]) -> Run:
    """`network`, a module or what was loaded of one, as a `Run`."""
    import torch

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return run


class Write(Protocol):
    def __call__(self, network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
        """Write `network`, in eval mode, for images of `input_shape` (C, H, W)."""
        ...


@dataclass(frozen=True)
class Format:
    """A file format.

    `package` writes it, `install` says how to get that. `write(network, input_shape, batch_size, path)` writes a file,
    which serves every batch size where the batch is `dynamic_batch` and batches of `batch_size` alone otherwise.
    `load(path, threads)` gives a function from images to logits; `sets_threads`: its runtime computes in that many
    threads (otherwise in as many as it likes, and its times are filed without a number). `placement(path)`: which of
    the file's operators run otherwise than the format means them to; None where there is nothing to fall back to.
    `beside`: how the name of a second file ends, which `write` leaves beside the first (`net.py`, `net` + `beside`).
    `describe(path, images)` lets a written file say how its images are prepared, in timm's words.
    `dtype`: the arithmetic of its files. Of eight bits: `floats`, the format that writes the same networks in floats,
    and how ranges of activations are `calibrated`, as plain data (see `nas.export.eight_bits`).
    """

    name: str
    suffix: str
    package: str
    install: str
    write: Write
    load: Callable[[Path, int], Run]
    dynamic_batch: bool = False
    sets_threads: bool = True
    placement: Callable[[Path], Placement] | None = None
    beside: str | None = None
    describe: Callable[[Path, Mapping[str, Any]], None] | None = None
    dtype: str = "fp32"
    floats: Format | None = None
    calibrated: Mapping[str, Any] | None = None

    def second(self, path: Path) -> Path | None:
        """The second file of `path`; None for a format of one."""
        return path.with_name(path.stem + self.beside) if self.beside else None

    def saying(self, images: Mapping[str, Any]) -> Format:
        """This format, whose files say how their `images` are prepared, where it has a place for that."""
        describe = self.describe
        if describe is None:
            return self

        def write(network: nn.Module, input_shape: tuple[int, int, int], batch_size: int, path: Path) -> None:
            self.write(network, input_shape, batch_size, path)
            describe(path, images)

        return replace(self, write=write)

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None

    def check_output(self, path: Path) -> None:
        """Raise `ValueError` for a file that is not called as those of the format are."""
        if path.suffix != self.suffix:
            raise ValueError(f"a file of format {self.name} ends in {self.suffix}, got output={path}")

    def check(self) -> None:
        """Raise `ValueError` saying what to install where the format cannot be written here."""
        if not self.installed:
            raise ValueError(
                f"format {self.name!r} needs the package {self.package}, which is not installed; {self.install}"
            )
