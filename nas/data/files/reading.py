"""The images of a folder, in memory where they fit, else decoded as they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nas.data.files.duplicates import shared_files, shared_pixels
from nas.data.files.listing import Labelled, Listing
from nas.data.files.remembered import remembered
from nas.data.files.source import Failures, FileSource
from nas.data.images import ImageData, absent_notes, check_labels, limited, shared_note, statistics
from nas.data.preprocessing import MODES, Preprocessing
from nas.data.split import MemorySource, Source, Split
from nas.runs.seeding import numpy_generator
from search_spaces.resolution import Resolution, pixels

LOOKING = 1  # of the ways to look at files: raise it where the same files give other statistics or notes
STATISTICS_IMAGES = 4096  # of more, mean and deviation are taken from this many, drawn once


@dataclass(frozen=True)
class Reading:
    """How files become images, as `nas.data.folder.imagefolder` describes. Raises `ValueError` for what cannot be."""

    resolution: Resolution
    in_channels: int
    crop_percent: float
    memory_limit_mb: int
    workers: int
    skip_unreadable: bool

    def __post_init__(self) -> None:
        if self.in_channels not in MODES:
            raise ValueError(f"data.in_channels must be 1 or 3, got {self.in_channels}")
        if not 0 < self.crop_percent <= 1:
            raise ValueError(f"data.crop_percent must be greater than 0 and at most 1, got {self.crop_percent}")
        if self.workers < 1:
            raise ValueError(f"data.workers must be >= 1, got {self.workers}")


def read_images(root: str, listed: Listing, how: Reading, train_limit: int | None, test_limit: int | None) -> ImageData:
    """The images `listed` below `root`; see `nas.data.folder.imagefolder`."""
    train = _limit(f"{root}, training images", listed.train, train_limit, listed.names)
    test = _limit(f"{root}, test images", listed.test, test_limit, listed.names)
    files = FileSource(
        [path for path, _ in train + test], how.resolution, how.in_channels, how.crop_percent, how.workers
    )
    labels = torch.tensor([label for _, label in train + test])
    read = _Read(root, files, len(train), labels, listed.names, how.skip_unreadable)
    is_small = len(files) * how.in_channels * pixels(files.kept) <= how.memory_limit_mb * 2**20
    seen = read.into_memory() if is_small else read.looked_at()
    splits = []
    for part, rows in zip(("training", "test"), seen.parts, strict=True):
        check_labels(f"{root}, {part}", labels[rows], len(rows), len(listed.names))
        splits.append(Split(seen.source, rows, labels[rows], seen.mean, seen.std, how.resolution))
    return ImageData(
        Path(root).resolve().name,
        len(listed.names),
        how.in_channels,
        how.resolution,
        listed.names,
        splits[0],
        splits[1],
        Preprocessing("center", how.crop_percent),
        (*listed.notes, *seen.notes, *absent_notes(str(root), listed.names, *(split.labels for split in splits))),
    )


@dataclass(frozen=True)
class _Seen:
    """What reading gave: the rows of both splits that can be read, their statistics, what a user should know."""

    source: Source
    parts: tuple[Tensor, Tensor]
    mean: Tensor
    std: Tensor
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """Files, of which the first `train` are for training, and how they are looked at."""

    root: str
    files: FileSource
    train: int
    labels: Tensor
    names: tuple[str, ...]
    skip_unreadable: bool

    def into_memory(self) -> _Seen:
        """All of them, decoded."""
        images, failures = self.files.read(range(len(self.files)))
        parts = self._parts(failures)
        mean, std = statistics(_of_training(images, parts[0]))
        shared = shared_pixels(*((images[row] for row in rows.tolist()) for rows in parts))
        notes = [*_unreadable_note(failures), *self._shared_note(shared, parts)]
        return _Seen(MemorySource(images), parts, mean, std, tuple(notes))

    def looked_at(self) -> _Seen:
        """They are decoded as they are needed; what they have in common is found once, and remembered."""
        rules = f"{LOOKING} {self.files.state} {self.train} {self.skip_unreadable}"
        kept = remembered("images", hashlib.sha256(rules.encode()).hexdigest(), self._look)
        parts = self._parts(kept["unreadable"])
        return _Seen(self.files, parts, torch.tensor(kept["mean"]), torch.tensor(kept["std"]), tuple(kept["notes"]))

    def _look(self) -> dict[str, Any]:
        failures = self.files.failures(range(len(self.files))) if self.skip_unreadable else {}
        parts = self._parts(failures)
        mean, std = statistics(_sample(self.files, parts[0]))
        train, test = ([self.files.paths[row] for row in rows.tolist()] for rows in parts)
        shared = shared_files(train, test, self.files.workers)
        return {
            "unreadable": sorted(failures),
            "mean": mean.tolist(),
            "std": std.tolist(),
            "notes": [*_unreadable_note(failures), *self._shared_note(shared, parts)],
        }

    def _parts(self, failures: Failures | list[int]) -> tuple[Tensor, Tensor]:
        """The rows of both splits that can be read. Raises `ValueError` where a class loses all it has for training."""
        if not self.skip_unreadable and isinstance(failures, dict):
            self.files.refuse(failures)
        left_out = set(failures)
        rows = torch.tensor([row for row in range(len(self.files)) if row not in left_out], dtype=torch.int64)
        train, test = rows[rows < self.train], rows[rows >= self.train]
        lost = sorted(set(self.labels[: self.train].tolist()) - set(self.labels[train].tolist()))
        if lost:
            name = self.names[lost[0]]
            raise ValueError(f"{self.root}: no training image of class {name!r} can be read; remove that class")
        return train, test

    def _shared_note(self, shared: list[tuple[int, int]], parts: tuple[Tensor, Tensor]) -> list[str]:
        if not shared:
            return []
        test, train = (self.files.paths[int(rows[i])] for rows, i in zip(reversed(parts), shared[0], strict=True))
        return [f"{shared_note(shared, len(parts[1]))}; first: {test} is {train}"]


def _unreadable_note(failures: Failures) -> list[str]:
    if not failures:
        return []
    first = failures[min(failures)]
    said = f"images that cannot be read and are left out: {len(failures):,}; first: {first.path} ({first.reason})"
    return [said]


def _limit(what: str, files: Labelled, limit: int | None, names: Sequence[str]) -> Labelled:
    if limit is None:
        return files
    return [files[row] for row in limited(what, torch.tensor([label for _, label in files]), limit, names).tolist()]


def _of_training(images: Tensor, rows: Tensor) -> Tensor:
    """The images at the first `rows`, without a copy where none is left out."""
    whole = len(rows) and int(rows[-1]) == len(rows) - 1
    return images[: len(rows)] if whole else images[rows]


def _sample(source: FileSource, rows: Tensor) -> Tensor:
    """The training images that mean and deviation are taken from."""
    chosen = rows.numpy()
    if len(chosen) > STATISTICS_IMAGES:
        chosen = np.sort(numpy_generator(0, "statistics").choice(chosen, STATISTICS_IMAGES, replace=False))
    images, failures = source.read(chosen.tolist())
    source.refuse_all(failures)
    return images
