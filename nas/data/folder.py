"""A user's own images: one folder per class, in memory where they fit, else decoded as they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nas.data.files.duplicates import shared_files, shared_pixels
from nas.data.files.listing import Labelled, Listing, listing
from nas.data.files.source import Failures, FileSource
from nas.data.images import ImageData, check_labels, limited, shared_note, statistics
from nas.data.preprocessing import MODES, Preprocessing
from nas.data.split import MemorySource, Source, Split
from nas.runs.seeding import numpy_generator

RESOLUTION = 224
STATISTICS_IMAGES = 4096  # of more, mean and deviation are taken from this many, drawn once


def imagefolder(
    root: str,
    resolution: int | None = None,
    in_channels: int = 3,
    crop_percent: float = 0.875,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    memory_limit_mb: int = 2048,
    workers: int = 4,
    train_limit: int | None = None,
    test_limit: int | None = None,
    skip_unreadable: bool = False,
) -> ImageData:
    """The images under `root`: `train/<class>/*` and `test/` (or `val/`, `valid/`) `<class>/*`, or `<class>/*` alone.

    Without a test folder, `test_fraction` of each class is the test split, drawn by `split_seed`. Images are converted
    to RGB (`in_channels=1`: to grey), their shorter side is resized to `resolution / crop_percent` pixels, and the
    centre square is kept; evaluation sees its central `resolution` pixels, training a random window. `resolution`:
    default 224. Images of up to `memory_limit_mb` are decoded once, by `workers` threads; beyond, each epoch decodes
    them again. Either way the batches are the same. `train_limit`, `test_limit`: keep that many images, the same share
    of each class. `skip_unreadable`: leave out, and count, images that cannot be read.

    Raises `ValueError` for a folder that is missing, empty or of one class, for test images of classes that training
    has not, and for images that cannot be read, naming them.
    """
    side = RESOLUTION if resolution is None else resolution
    _check(side, in_channels, crop_percent, test_fraction, workers)
    listed = listing(Path(root), test_fraction, split_seed)
    train = _limit(f"{root}, training images", listed.train, train_limit)
    test = _limit(f"{root}, test images", listed.test, test_limit)
    files = FileSource([path for path, _ in train + test], side, in_channels, crop_percent, workers)
    is_small = len(files) * in_channels * files.side**2 <= memory_limit_mb * 2**20
    source: Source = files
    failures: Failures = {}
    if is_small:
        images, failures = files.read(range(len(files)))
        source = MemorySource(images)
    elif skip_unreadable:
        failures = files.failures(range(len(files)))
    if not skip_unreadable:
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
        splits.append(Split(source, rows, labels[rows], mean, std, side))
    return ImageData(
        Path(root).resolve().name,
        len(listed.names),
        in_channels,
        side,
        listed.names,
        splits[0],
        splits[1],
        Preprocessing("center", crop_percent),
        _notes(listed, files, source, parts, failures),
    )


def _check(side: int, in_channels: int, crop_percent: float, test_fraction: float, workers: int) -> None:
    if side < 1:
        raise ValueError(f"data.resolution must be >= 1 pixel, got {side}")
    if in_channels not in MODES:
        raise ValueError(f"data.in_channels must be 1 or 3, got {in_channels}")
    if not 0 < crop_percent <= 1:
        raise ValueError(f"data.crop_percent must be greater than 0 and at most 1, got {crop_percent}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"data.test_fraction must lie between 0 and 1, got {test_fraction}")
    if workers < 1:
        raise ValueError(f"data.workers must be >= 1, got {workers}")


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
