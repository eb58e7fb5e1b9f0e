"""The images of a folder, in memory where they fit, else decoded as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.files.duplicates import shared_files, shared_pixels
from nas.data.files.listing import Labelled, Listing, listing
from nas.data.files.source import Failures, FileSource
from nas.data.images import ImageData, check_labels, limited, shared_note, statistics
from nas.data.preprocessing import Preprocessing
from nas.data.split import MemorySource, Source, Split
from nas.runs.seeding import numpy_generator
from search_spaces.resolution import Resolution, pixels

STATISTICS_IMAGES = 4096  # of more, mean and deviation are taken from this many, drawn once


@dataclass(frozen=True)
class Reading:
    """How files become images, as `nas.data.folder.imagefolder` describes."""

    resolution: Resolution
    in_channels: int
    crop_percent: float
    test_fraction: float
    split_seed: int
    memory_limit_mb: int
    workers: int
    skip_unreadable: bool


def read_folder(root: str, how: Reading, train_limit: int | None, test_limit: int | None) -> ImageData:
    """The images under `root`; see `nas.data.folder.imagefolder`."""
    listed = listing(Path(root), how.test_fraction, how.split_seed)
    train = _limit(f"{root}, training images", listed.train, train_limit)
    test = _limit(f"{root}, test images", listed.test, test_limit)
    files = FileSource(
        [path for path, _ in train + test], how.resolution, how.in_channels, how.crop_percent, how.workers
    )
    is_small = len(files) * how.in_channels * pixels(files.kept) <= how.memory_limit_mb * 2**20
    source: Source = files
    failures: Failures = {}
    if is_small:
        images, failures = files.read(range(len(files)))
        source = MemorySource(images)
    elif how.skip_unreadable:
        failures = files.failures(range(len(files)))
    if not how.skip_unreadable:
        files.refuse(failures)
    parts = _readable(len(train), len(files), failures)
    labels = torch.tensor([label for _, label in train + test])
    lost = sorted(set(range(len(listed.names))) - set(labels[parts[0]].tolist()))
    if lost:
        raise ValueError(f"{root}: no training image of class {listed.names[lost[0]]!r} can be read; remove that class")
    mean, std = statistics(_sample(source, parts[0]))
    splits = []
    for part, rows in zip(("training", "test"), parts, strict=True):
        check_labels(f"{root}, {part}", labels[rows], len(rows), len(listed.names))
        splits.append(Split(source, rows, labels[rows], mean, std, how.resolution))
    return ImageData(
        Path(root).resolve().name,
        len(listed.names),
        how.in_channels,
        how.resolution,
        listed.names,
        splits[0],
        splits[1],
        Preprocessing("center", how.crop_percent),
        _notes(listed, files, source, parts, failures),
    )


def _limit(what: str, files: Labelled, limit: int | None) -> Labelled:
    if limit is None:
        return files
    return [files[row] for row in limited(what, torch.tensor([label for _, label in files]), limit).tolist()]


def _readable(train: int, count: int, failures: Failures) -> tuple[Tensor, Tensor]:
    """The rows of both splits that can be read."""
    rows = torch.tensor([row for row in range(count) if row not in failures], dtype=torch.int64)
    return rows[rows < train], rows[rows >= train]


def _sample(source: Source, rows: Tensor) -> Tensor:
    """The training images that mean and deviation are taken from."""
    if isinstance(source, MemorySource):
        whole = len(rows) and int(rows[-1]) == len(rows) - 1
        return source.images[: len(rows)] if whole else source.images[rows]
    assert isinstance(source, FileSource)
    chosen = rows.numpy()
    if len(chosen) > STATISTICS_IMAGES:
        chosen = np.sort(numpy_generator(0, "statistics").choice(chosen, STATISTICS_IMAGES, replace=False))
    images, failures = source.read(chosen.tolist())
    source.refuse_all(failures)
    return images


def _notes(
    listed: Listing, files: FileSource, source: Source, parts: tuple[Tensor, Tensor], failures: Failures
) -> tuple[str, ...]:
    notes = list(listed.notes)
    if failures:
        first = failures[min(failures)]
        notes.append(
            f"images that cannot be read and are left out: {len(failures):,}; first: {first.path} ({first.reason})"
        )
    paths: list[Sequence[str]] = [[files.paths[row] for row in rows.tolist()] for rows in parts]
    if isinstance(source, MemorySource):
        images = source.images
        shared = shared_pixels(*((images[row] for row in rows.tolist()) for rows in parts))
    else:
        shared = shared_files(paths[0], paths[1], files.workers)
    if shared:
        test, train = shared[0]
        notes.append(f"{shared_note(shared, len(parts[1]))}; first: {paths[1][test]} is {paths[0][train]}")
    return tuple(notes)
