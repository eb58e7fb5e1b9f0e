"""One split of a data set: bytes in, normalised batches out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nas.data.augment import apply, augment_named, draw
from nas.runs.seeding import generator
from search_spaces.augment import Augment
from search_spaces.resolution import Resolution


@dataclass(frozen=True)
class Place:
    """Where batches go: to `device`, and of each batch rows `rank::processes` to process `rank` of `processes`."""

    device: torch.device | str = "cpu"
    rank: int = 0
    processes: int = 1


class Source(Protocol):
    """Where the images of a split come from: memory (`MemorySource`) or files (`FileSource`).

    `one`: the stored number that means 1 to `mean` and `std`: 255 of bytes, 1 of numbers in a unit of their own.
    """

    one: float

    def batches(self, batches: list[Tensor], device: torch.device) -> Iterator[Tensor]:
        """For each index vector its images: (B, C, H, W) on `device`."""
        ...

    def fingerprint(self) -> str:
        """A digest of what the images are: another data set, or one that was changed, has another."""
        ...


class MemorySource:
    """Images as one uint8 or float32 tensor (N, C, H, W); a copy on each device that asked for one."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.one = 1.0 if images.is_floating_point() else 255.0
        self._copies = {images.device: images}
        self._fingerprint: str | None = None

    def fingerprint(self) -> str:
        if self._fingerprint is None:
            found = hashlib.sha256(str(tuple(self.images.shape)).encode())
            found.update(self.images.contiguous().numpy().data)
            self._fingerprint = found.hexdigest()[:32]
        return self._fingerprint

    def batches(self, batches: list[Tensor], device: torch.device) -> Iterator[Tensor]:
        if device not in self._copies:
            self._copies[device] = self.images.to(device)
        images = self._copies[device]
        order = torch.cat(batches).to(device)  # once: indices on the host would make every step wait
        for indices in order.split([len(batch) for batch in batches]):
            yield images[indices]


Made = Generator[tuple[Tensor, Tensor], None, None]


class Batches(Iterator[tuple[Tensor, Tensor]]):
    """Batches of one pass, each made when it is taken: `make(first)` gives those from number `first` on."""

    def __init__(self, make: Callable[[int], Made]) -> None:
        self._make, self._first = make, 0
        self._made: Made | None = None

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._made is None:
            self._made = self._make(self._first)
        return next(self._made)

    def skip(self, count: int) -> Batches:
        """The same batches without the first `count`, whose images nobody reads; before any was taken."""
        if self._made is not None:
            raise RuntimeError("batches are skipped before the first is taken")
        self._first += count
        return self

    def close(self) -> None:
        """Leave the rest: what decodes ahead ends."""
        if self._made is not None:
            self._made.close()


class Split:
    """Images `indices` of `source` with their `labels`.

    `labels`: (N,) int64, one per index; `mean`, `std`: (C,), those of the training images, on the 0..1 scale
    of bytes and in the unit of other numbers. Raises `ValueError` for a split without images, or with another number of
    labels.
    """

    def __init__(
        self, source: Source, indices: Tensor, labels: Tensor, mean: Tensor, std: Tensor, resolution: Resolution
    ) -> None:
        if len(indices) != len(labels):
            raise ValueError(f"{len(indices)} images but {len(labels)} labels")
        if not len(indices):
            raise ValueError("a split needs at least one image")
        self.source, self.indices, self.labels = source, indices, labels
        self.mean, self.std, self.resolution = mean, std, resolution

    def __len__(self) -> int:
        return len(self.indices)

    def fingerprint(self) -> str:
        """A digest of images, their order and labels, and of how they are normalised."""
        found = hashlib.sha256(self.source.fingerprint().encode())
        for part in (self.indices, self.labels, self.mean, self.std):
            found.update(part.contiguous().numpy().tobytes())
        return found.hexdigest()[:32]

    def num_batches(self, batch_size: int, drop_last: bool = False) -> int:
        """Number of batches in an epoch; at least 1 (`drop_last` never drops the only one)."""
        return max(len(self) // batch_size, 1) if drop_last else -(-len(self) // batch_size)

    def subset(self, rows: Tensor) -> Split:
        """The images at `rows` of this split."""
        return Split(self.source, self.indices[rows], self.labels[rows], self.mean, self.std, self.resolution)

    def normalised(self, mean: Tensor, std: Tensor) -> Split:
        """These images normalised by another `mean` and `std`, each (C,)."""
        return Split(self.source, self.indices, self.labels, mean, std, self.resolution)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        epoch: int = 0,
        augment: str | None = None,
        drop_last: bool = False,
        place: Place = Place(),
    ) -> Batches:
        """One epoch of `(images, labels)`, shuffled: (B, C, H, W) float32 normalised, (B,) int64, at `place`.

        Order and augmentation are functions of `seed` and `epoch`; all their random numbers are drawn and moved to the
        device before the first batch, so no step waits for the host. `batch_size` counts over all processes. What comes
        behind a number of batches does not depend on whether these are taken or skipped.
        """
        policy, stream, count = augment_named(augment), generator(seed, "batches", epoch), len(self)
        order, u = torch.randperm(count, generator=stream), draw(count, stream)
        size = min(batch_size, count) if drop_last else batch_size
        if drop_last and size > 0:
            order = order[: count // size * size]
        return Batches(lambda first: self._batches(order[first * size :], size, policy, u, place))

    def in_order(self, batch_size: int, place: Place = Place()) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, as `batches` gives them, but in the order of this split and without augmentation."""
        nothing_drawn = torch.empty(len(self), 0)
        order = torch.arange(len(self))
        return self._batches(order, batch_size, augment_named(None), nothing_drawn, place)

    def _batches(self, order: Tensor, batch_size: int, policy: Augment, u: Tensor, place: Place) -> Made:
        """The images at rows `order`, in batches, augmented by `policy` with the draws `u`, a row for each."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        if not len(order):  # all of it skipped; torch would split it into one empty batch
            return
        device = torch.device(place.device)
        rows = [batch[place.rank :: place.processes] for batch in order.split(batch_size)]
        indices = [self.indices[batch] for batch in rows]
        if device.type != "cpu":
            order, u = order.to(device), u.to(device)
            rows = [batch[place.rank :: place.processes] for batch in order.split(batch_size)]
        labels = self.labels.to(device)
        scale = (1 / (self.source.one * self.std)).to(device)[:, None, None]
        shift = (self.mean / self.std).to(device)[:, None, None]
        fill = (self.source.one * self.mean).to(device)
        for row, images in zip(rows, self.source.batches(indices, device), strict=True):
            pixels = apply(policy, images, u[row], self.resolution, fill)
            yield (pixels * scale).sub_(shift), labels[row]
