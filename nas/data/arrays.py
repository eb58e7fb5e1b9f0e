"""Data sets in one .npz file: plain arrays of any size and channels, or the JPEG streams of a complete CIFAR-10."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from search_spaces.plain_data.annotations import Positive, Range
from search_spaces.resolution import Pixels

if TYPE_CHECKING:
    from torch import Tensor

    from nas.data.images import ImageData

    Part = tuple[Tensor, Tensor]  # (N, C, H, W) uint8 or float32 and (N,) int64

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MOST_CLASSES = 1_000_000
JPEGS = ("jpeg_header", "train_body", "train_offset", "y_train", "test_body", "test_offset", "y_test")


def npz(
    root: str,
    resolution: Pixels | None = None,
    class_names: Sequence[str] | None = None,
    num_classes: Annotated[int, Range(2, MOST_CLASSES)] | None = None,
    in_channels: Positive | None = None,
    train_limit: Positive | None = None,
    test_limit: Positive | None = None,
) -> ImageData:
    """Any data set as one .npz file with `x_train, y_train, x_test, y_test`.

    Images are (N, H, W) or (N, H, W, C), of bytes (uint8) or of floats in any unit, such as spectrograms; labels are
    whole numbers from 0. Without `class_names` the training labels say which classes there are, every number up to the
    largest, or `num_classes` insists on so many. `in_channels` insists on C, where there are more channels than rows
    or columns. `resolution`: pixels of square images or `[height, width]`, default that of the arrays. `train_limit`,
    `test_limit`: keep that many images, the same share of each class.
    """
    from nas.data.images import in_memory

    train, test = read_npz(root, in_channels)
    names = _names(f"{root}, y_train", train[1], class_names, num_classes)
    own = train[0].shape[2:]
    return in_memory(
        Path(root).stem, train, test, names, own if resolution is None else resolution, (train_limit, test_limit)
    )


def _names(what: str, labels: Tensor, names: Sequence[str] | None, count: int | None) -> list[str]:
    """The classes of training `labels`. Refuses gaps: one odd label would make thousands of classes without images."""
    if names is not None:
        if count is not None and count != len(names):
            raise ValueError(f"data.num_classes={count}, but data.class_names has {len(names)} names; give one of them")
        if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
            raise ValueError("data.class_names must be different texts, one per class in the order of the labels")
        return list(names)
    if count is not None:
        if not 2 <= count <= MOST_CLASSES:
            raise ValueError(f"data.num_classes must be 2 to {MOST_CLASSES:,}, got {count}")
        return [str(i) for i in range(count)]
    import torch

    found = labels.unique()
    largest = int(found[-1])
    if largest >= len(found) > 0 and int(found[0]) >= 0:
        gap = int((found != torch.arange(len(found))).nonzero()[0])
        raise ValueError(
            f"{what}: the labels are {len(found):,} different numbers up to {largest:,} without {gap:,}; number the "
            f"classes from 0 without gaps, or insist with data.num_classes={largest + 1}"
        )
    return [str(i) for i in range(largest + 1)]


def read_npz(path: str | Path, in_channels: int | None = None) -> tuple[Part, Part]:
    """Training and test part of the .npz file `path`. Raises `ValueError` naming the key or shape that is wrong."""
    path = Path(path)
    wanted, arrays = _load(path)
    parts = []
    for part in ("train", "test"):
        if wanted is JPEGS:
            body, offset = arrays[f"{part}_body"], arrays[f"{part}_offset"]
            images = _decode(f"{path}, {part}", arrays["jpeg_header"], body, offset)
        else:
            images = arrays[f"x_{part}"]
        parts.append(as_part(f"{path}, {part}", images, arrays[f"y_{part}"], in_channels))
    if parts[0][0].shape[1:] != parts[1][0].shape[1:]:
        shapes = [tuple(images.shape[1:]) for images, _ in parts]
        raise ValueError(f"{path}: training images are {shapes[0]} (C, H, W), test images {shapes[1]}")
    if parts[0][0].dtype != parts[1][0].dtype:
        raise ValueError(f"{path}: x_train is {arrays['x_train'].dtype}, x_test {arrays['x_test'].dtype}")
    return parts[0], parts[1]


def _load(path: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The names that belong to the kind of file, and their arrays."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file; give data.root=<file.npz>")
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            wanted = JPEGS if "jpeg_header" in file.files else ARRAYS
            arrays = {name: file[name] for name in wanted if name in file.files}
    except FileNotFoundError:
        raise ValueError(f"no data file at {path}; give data.root=<file.npz>") from None
    except MemoryError as error:
        raise ValueError(f"{path} does not fit into memory: {error}") from None
    except Exception as error:  # zipfile and numpy meet damaged files with exceptions of nearly every kind
        reason = (
            "it holds objects, not numbers"
            if "pickle" in str(error)
            else " ".join(str(error).split()) or type(error).__name__
        )
        raise ValueError(f"{path} is not a readable .npz file (truncated?): {reason}") from None
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ValueError(f"{path} has no array {missing[0]!r}; expected {', '.join(wanted)}")
    return wanted, arrays


def as_part(what: str, images: np.ndarray, labels: np.ndarray, in_channels: int | None = None) -> Part:
    """Checked tensors of (N, H, W) or (N, H, W, C) `images`, uint8 or floats, and (N,) integer `labels`."""
    import torch

    is_float = np.issubdtype(images.dtype, np.floating)
    if images.dtype != np.uint8 and not is_float:
        raise ValueError(f"{what}: images must be uint8 (0 to 255) or floats, got {images.dtype}")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(f"{what}: images must be (N, H, W) or (N, H, W, C) (series: H = 1), got {images.shape}")
    _check_channels(what, images.shape, in_channels)
    if is_float:
        images = images.astype(np.float32)
        if not np.isfinite(images).all():
            raise ValueError(f"{what}: images must be finite numbers; replace NaN and infinity")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or len(labels) != len(images):
        raise ValueError(
            f"{what}: {len(images)} images need as many whole-number labels, got {labels.dtype} {labels.shape}"
        )
    if not len(images):
        raise ValueError(f"{what}: there are no images")
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), torch.from_numpy(
        labels.astype(np.int64)
    )


def _check_channels(what: str, shape: tuple[int, ...], in_channels: int | None) -> None:
    """Refuse other channels than were asked for, and channels that stand where height or width belong."""
    _, height, width, channels = shape
    if in_channels is not None and channels != in_channels:
        raise ValueError(f"{what}: images {shape} have {channels} channels, data.in_channels asks for {in_channels}")
    if in_channels is None and channels not in (1, 3) and channels > min(height, width):
        raise ValueError(
            f"{what}: images must be (N, H, W) or (N, H, W, C), got {shape}: {channels} channels of {height}x{width}? "
            f"Put the channels last, or insist with data.in_channels={channels}"
        )


def _decode(what: str, header: np.ndarray, body: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Image i is the JPEG `header + body[offset[i]:offset[i + 1]]`."""
    from PIL import Image, UnidentifiedImageError

    steps = np.diff(offset)
    if offset.ndim != 1 or len(offset) < 2 or offset[0] != 0 or (steps <= 0).any() or offset[-1] != len(body):
        raise ValueError(f"{what}: the offsets do not cut {len(body)} bytes into JPEG images")
    start, data = header.tobytes(), body.tobytes()
    images = []
    for i in range(len(offset) - 1):
        try:
            with Image.open(io.BytesIO(start + data[offset[i] : offset[i + 1]])) as image:
                images.append(np.asarray(image))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{what}: image {i} cannot be decoded: {error}") from None
        if images[-1].shape != images[0].shape:
            raise ValueError(f"{what}: image {i} is {images[-1].shape}, image 0 {images[0].shape}; all must be alike")
    return np.stack(images)
