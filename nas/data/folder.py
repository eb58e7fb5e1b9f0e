"""A user's own images: one folder per class, in memory where they fit, else decoded as they are needed."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from nas.data.images import ImageData, check_labels, statistics, stratified
from nas.data.split import MemorySource, Source, Split
from nas.seeding import numpy_generator

RESOLUTION = 224
STATISTICS_IMAGES = 4096  # of more, mean and deviation are taken from this many, drawn once
AHEAD = 3  # batches decoded in advance
MODES = {1: "L", 3: "RGB"}


def imagefolder(
    root: str,
    resolution: int | None = None,
    in_channels: int = 3,
    crop_percent: float = 0.875,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    memory_limit_mb: int = 2048,
    workers: int = 4,
) -> ImageData:
    """The images under `root`: `train/<class>/*` and `test/` or `val/<class>/*`, or `<class>/*` alone.

    Without a test folder, `test_fraction` of each class is the test split, drawn by `split_seed`. Images are converted
    to RGB (`in_channels=1`: to grey), their shorter side is resized to `resolution / crop_percent` pixels, and the
    centre square is kept; evaluation sees its central `resolution` pixels, training a random window. `resolution`:
    default 224. Images of up to `memory_limit_mb` are decoded once, by `workers` threads; beyond, each epoch decodes
    them again. Either way the batches are the same.

    Raises `ValueError` for a folder that is missing, empty or of one class, for classes that differ between training
    and test, and for an image that cannot be read, naming it.
    """
    side = RESOLUTION if resolution is None else resolution
    if side < 1:
        raise ValueError(f"data.resolution must be >= 1 pixel, got {side}")
    if in_channels not in MODES:
        raise ValueError(f"data.in_channels must be 1 or 3, got {in_channels}")
    if not 0 < crop_percent <= 1:
        raise ValueError(f"data.crop_percent must be greater than 0 and at most 1, got {crop_percent}")
    if workers < 1:
        raise ValueError(f"data.workers must be >= 1, got {workers}")
    stored = max(round(side / crop_percent), side)
    train, test, names = _list(Path(root), test_fraction, split_seed)
    files = FileSource([path for path, _ in train + test], stored, in_channels, workers)
    is_small = len(files) * in_channels * stored**2 <= memory_limit_mb * 2**20
    source: Source = MemorySource(files.read_all()) if is_small else files
    rows = np.arange(len(train))
    if not is_small and len(rows) > STATISTICS_IMAGES:
        rows = np.sort(numpy_generator(0, "statistics").choice(rows, STATISTICS_IMAGES, replace=False))
    whole = source.images if isinstance(source, MemorySource) else None
    sample = files.read(rows) if whole is None else whole[: len(train)]
    mean, std = statistics(sample)
    splits = []
    for part, start, listed in (("train", 0, train), ("test", len(train), test)):
        labels = torch.tensor([label for _, label in listed])
        check_labels(f"{root}, {part}", labels, len(listed), len(names))
        splits.append(Split(source, torch.arange(start, start + len(listed)), labels, mean, std, side))
    return ImageData(Path(root).resolve().name, len(names), in_channels, side, tuple(names), splits[0], splits[1])


class FileSource:
    """Images in files, decoded by threads a few batches ahead, in the order asked for."""

    def __init__(self, paths: Sequence[str], side: int, in_channels: int, workers: int) -> None:
        self.paths, self.side, self.mode, self.workers = tuple(paths), side, MODES[in_channels], workers

    def __len__(self) -> int:
        return len(self.paths)

    def fingerprint(self) -> str:
        """Of names and sizes, without their common folder: reading 100 GB of images anew would take hours."""
        above = os.path.commonpath(self.paths)
        found = hashlib.sha256(f"{self.side} {self.mode}".encode())
        for path in self.paths:
            found.update(f"{os.path.relpath(path, above)} {os.path.getsize(path)}\n".encode())
        return found.hexdigest()[:32]

    def batches(self, batches: list[Tensor], device: torch.device) -> Iterator[Tensor]:
        for images in self._decode_ahead([batch.tolist() for batch in batches]):
            yield images.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else images

    def read(self, rows: np.ndarray) -> Tensor:
        """The images at `rows`: (len(rows), C, side, side) uint8."""
        chunks = np.array_split(rows, max(len(rows) // 256, 1))
        return torch.cat(list(self._decode_ahead([chunk.tolist() for chunk in chunks])))

    def read_all(self) -> Tensor:
        return self.read(np.arange(len(self)))

    def _decode_ahead(self, batches: list[list[int]]) -> Iterator[Tensor]:
        rest = iter(batches)
        with ThreadPoolExecutor(self.workers) as pool:

            def start(rows: list[int]) -> list[Future[Tensor]]:
                return [pool.submit(self._decode, row) for row in rows]

            waiting = deque(start(rows) for rows in islice(rest, AHEAD))
            try:
                while waiting:
                    yield torch.stack([future.result() for future in waiting.popleft()])
                    waiting.extend(start(rows) for rows in islice(rest, 1))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, row: int) -> Tensor:
        path = self.paths[row]
        try:
            with Image.open(path) as image:
                width, height = image.size
                scale = self.side / min(width, height)
                size = (max(round(width * scale), self.side), max(round(height * scale), self.side))
                resized = image.convert(self.mode).resize(size, Image.Resampling.BILINEAR)
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"image {path} cannot be read: {error}; replace or remove it") from None
        left, top = (size[0] - self.side) // 2, (size[1] - self.side) // 2
        square = np.array(resized.crop((left, top, left + self.side, top + self.side)))
        return torch.from_numpy(square.reshape(self.side, self.side, -1).transpose(2, 0, 1).copy())


Listing = list[tuple[str, int]]


def _list(root: Path, test_fraction: float, split_seed: int) -> tuple[Listing, Listing, list[str]]:
    """Files and labels of both splits, and the class names."""
    if not root.is_dir():
        raise ValueError(
            f"data.root={root} is no folder; give one that holds train/<class>/ and test/<class>/, or <class>/ alone"
        )
    if not (root / "train").is_dir():
        listed, names = _classes(root)
        first, second = stratified(np.array([label for _, label in listed]), 1 - test_fraction, split_seed)
        return [listed[i] for i in first], [listed[i] for i in second], names
    held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if held_out is None:
        raise ValueError(
            f"{root} has a folder train but neither test nor val; add one, or give data.root={root / 'train'}"
        )
    train, names = _classes(root / "train")
    test, test_names = _classes(held_out)
    if names != test_names:
        odd = sorted(set(names) ^ set(test_names))
        raise ValueError(f"{root / 'train'} and {held_out} must hold the same classes; only one of them has {odd[0]!r}")
    return train, test, names


def _classes(folder: Path) -> tuple[Listing, list[str]]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        has = f"only {names[0]!r}" if names else "none"
        raise ValueError(f"{folder} needs one folder of images per class and at least 2 classes; it has {has}")
    try:
        indices = {name: i for i, name in enumerate(names)}
        found = ImageFolder.make_dataset(str(folder), indices, extensions=IMG_EXTENSIONS)
    except FileNotFoundError as error:
        raise ValueError(f"{folder}: {str(error).splitlines()[0]}") from None
    return found, names
