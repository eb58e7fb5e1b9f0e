"""`ImageData`: a data set as the rest of the framework sees it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nas.data.files.duplicates import shared_pixels
from nas.data.preprocessing import MODES, SQUASHED, Preprocessing
from nas.data.split import MemorySource, Split
from nas.runs.seeding import numpy_generator
from search_spaces.costs import Shape
from search_spaces.resolution import Pixels, Resolution, canonical, size


@dataclass(frozen=True)
class ImageData:
    """A data set with a training and a test split; `resolution` in pixels, a `Size` where images are not square.

    The test split is for the final evaluation only: searches divide the training split with `split_train`.
    """

    name: str
    num_classes: int
    in_channels: int
    resolution: Resolution
    class_names: tuple[str, ...]
    train: Split
    test: Split
    preprocessing: Preprocessing = SQUASHED
    notes: tuple[str, ...] = ()  # what was left out or looks wrong, for the user to read

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolution", canonical(self.resolution))

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of one image."""
        return Shape(self.in_channels, *size(self.resolution))

    @functools.cached_property
    def guessing_percent(self) -> float:
        """Top-1 accuracy on the test images of always answering their most frequent class."""
        return 100 * float(torch.bincount(self.test.labels.cpu()).max()) / len(self.test)

    def pretrained_cfg(self) -> dict[str, Any]:
        """How a network trained on this data wants its images, and what its outputs are called, in timm's words."""
        return {
            "input_size": list(self.input_shape),
            "crop_pct": self.preprocessing.crop_percent,
            "crop_mode": self.preprocessing.crop_mode,
            "interpolation": self.preprocessing.interpolation,
            "mean": self.train.mean.tolist(),
            "std": self.train.std.tolist(),
            "label_names": list(self.class_names),
        }

    def normalised(self, mean: Tensor, std: Tensor) -> ImageData:
        """This data for a network that was trained with another `mean` and `std`, each (C,)."""
        splits = {part: getattr(self, part).normalised(mean, std) for part in ("train", "test")}
        return dataclasses.replace(self, **splits)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A digest of everything a score on this data depends on: images, labels, both splits, normalisation."""
        parts = f"{self.num_classes} {self.resolution} {self.train.fingerprint()} {self.test.fingerprint()}"
        return hashlib.sha256(parts.encode()).hexdigest()[:32]

    def split_train(self, fraction: float, seed: int) -> tuple[Split, Split]:
        """The training split divided in two, `fraction` of it first: disjoint, stratified, fixed by `seed`."""
        first, second = stratified(self.train.labels.numpy(), fraction, seed, self.class_names)
        return self.train.subset(torch.from_numpy(first)), self.train.subset(torch.from_numpy(second))

    def check_division(self) -> None:
        """Raise `ValueError` where `split_train` could not give both parts some of each class."""
        counts = torch.bincount(self.train.labels, minlength=self.num_classes)
        single = [self.class_names[label] for label in (counts == 1).nonzero().flatten().tolist()]
        if single:
            which = "class" if len(single) == 1 else "each of the classes"
            raise ValueError(
                f"{self.name} has 1 training image of {which} {few(single)}, and a search holds out some of each class "
                "to judge by: add images (2 of a class at least, 50 to judge well), or leave the class out"
            )

    def held_out(self, fraction: float, seed: int) -> ImageData:
        """This data set for a search: the test split replaced by `1 - fraction` of the training split."""
        train, test = self.split_train(fraction, seed)
        return dataclasses.replace(self, train=train, test=test)


def stratified(
    labels: np.ndarray, fraction: float, seed: int, names: Sequence[str] | None = None, exact_total: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted row numbers of both parts; each class is divided in the same proportion, both parts get some of it.

    Classes of so few images that some of them is more than their proportion make the first part larger than `fraction`;
    with `exact_total` those that are furthest above their proportion make up for it, and a class may be in it whole.

    Raises `ValueError` for a class of one image, by its name where `names` are given.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"a split fraction lies between 0 and 1, got {fraction}")
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        rare = int(classes[counts.argmin()])
        called = rare if names is None else repr(names[rare])
        raise ValueError(
            f"class {called} has {counts.min()} image; a split needs at least 2 of each class: add images of it, or "
            "leave the class out"
        )
    exact = fraction * counts
    cuts = np.floor(exact).astype(int)
    for k in np.argsort(cuts - exact, kind="stable")[: round(fraction * len(labels)) - cuts.sum()]:
        cuts[k] += 1  # largest remainders first, so that the parts add up to what was asked
    cuts = np.clip(cuts, 1, counts - 1)
    if exact_total:
        cuts = _with_total(cuts, exact, counts, round(fraction * len(labels)))
    rng = numpy_generator(seed, "split")
    first, second = [], []
    for label, cut in zip(classes, cuts, strict=True):
        rows = rng.permutation(np.flatnonzero(labels == label))
        first.append(rows[:cut])
        second.append(rows[cut:])
    return np.sort(np.concatenate(first)), np.sort(np.concatenate(second))


def _with_total(cuts: np.ndarray, exact: np.ndarray, counts: np.ndarray, total: int) -> np.ndarray:
    """`cuts` that add up to `total`, each from 1 to its count, as near to `exact` as that allows."""
    cuts = cuts.copy()
    while (step := int(np.sign(total - cuts.sum()))) != 0:
        free = cuts < counts if step > 0 else cuts > 1
        if not free.any():
            break
        cuts[np.argmax(np.where(free, step * (exact - cuts), -np.inf))] += step
    return cuts


def fit(images: Tensor, resolution: Pixels) -> Tensor:
    """uint8 or float32 (N, C, H, W) resized to `resolution` by Pillow's bilinear filter: the very pixels of timm's."""
    height, width = size(canonical(resolution))
    if images.shape[2:] == (height, width):
        return images
    count, channels = images.shape[:2]
    found = np.empty((count, channels, height, width), images.numpy().dtype)
    for image, into in zip(images.numpy(), found, strict=True):
        for channel, resized in zip(image, into, strict=True):
            resized[...] = Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(found)


def statistics(images: Tensor, chunk: int = 4096) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel of (N, C, H, W).

    Of uint8 images on the 0..1 scale, exactly, by integer sums; of float32 ones in their own unit.
    """
    mean, std = _float_statistics(images, chunk) if images.is_floating_point() else _byte_statistics(images)
    if not bool((std > 0).all()):
        raise ValueError("the training images are all one colour in some channel; nothing can be learned from them")
    return mean, std


def _float_statistics(images: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    count = images.numel() // images.shape[1]
    mean = sum((part.double().sum((0, 2, 3)) for part in images.split(chunk)), torch.zeros(())) / count
    centred = ((part.double() - mean[:, None, None]).square().sum((0, 2, 3)) for part in images.split(chunk))
    return mean.float(), (sum(centred, torch.zeros(())) / count).sqrt().float()


def _byte_statistics(images: Tensor, chunk: int = 256) -> tuple[Tensor, Tensor]:
    total = torch.zeros(images.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    for part in images.split(chunk):
        values = part.to(torch.int64)
        total += values.sum((0, 2, 3))
        squares += (values * values).sum((0, 2, 3))
    count = images.numel() // images.shape[1]
    mean = total.double() / count / 255
    std = (squares.double() / count / 255**2 - mean**2).clamp(min=0).sqrt()
    return mean.float(), std.float()


def in_memory(
    name: str,
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    class_names: Sequence[str],
    resolution: Pixels,
    limits: tuple[int | None, int | None] = (None, None),
) -> ImageData:
    """`ImageData` of uint8 or float32 images (N, C, H, W) and int64 labels (N,), resized once to `resolution`.

    `limits`: how many training and test images to keep, the same share of each class; None keeps all. Mean and
    deviation are those of all training images as they were given, so that they depend on neither.
    """
    resolution, num_classes = canonical(resolution), len(class_names)
    parts = []
    for part, (images, labels), limit in (("training", train, limits[0]), ("test", test, limits[1])):
        check_labels(f"{name}, {part} labels", labels, len(images), num_classes)
        if limit is not None:
            rows = limited(f"{name}, {part} images", labels, limit, class_names)
            images, labels = images[rows], labels[rows]
        parts.append((fit(_stored(name, images), resolution), labels.long()))
    mean, std = statistics(_stored(name, train[0]))
    splits = [
        Split(MemorySource(images), torch.arange(len(images)), labels, mean, std, resolution)
        for images, labels in parts
    ]
    shared = shared_pixels(train[0], test[0])
    notes = [f"{name}: {shared_note(shared, len(test[0]))}"] if shared else []
    absent = absent_notes(name, class_names, parts[0][1], parts[1][1])
    return ImageData(
        name,
        num_classes,
        parts[0][0].shape[1],
        resolution,
        tuple(class_names),
        splits[0],
        splits[1],
        _preprocessing(train[0]),
        (*notes, *absent),
    )


def _stored(name: str, images: Tensor) -> Tensor:
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"{name}: images must be uint8 or floats, got {images.dtype}; convert them")
    return images.float() if images.is_floating_point() else images


def _preprocessing(images: Tensor) -> Preprocessing:
    if images.is_floating_point():
        return Preprocessing(arrays="float32")
    return SQUASHED if images.shape[1] in MODES else Preprocessing(arrays="uint8")


def shared_note(shared: Sequence[tuple[int, int]], count: int) -> str:
    """In words, how many of `count` test images are among the training images (pairs as `shared_pixels` gives them)."""
    return f"{len(shared):,} of {count:,} test images are training images too: figures on them are too high"


def absent_notes(name: str, class_names: Sequence[str], train: Tensor, test: Tensor) -> tuple[str, ...]:
    """In words, of which classes there are no training images, and of which no test images, by their labels."""
    found = []
    for part, labels, so in (
        ("training", train, "no network can learn it"),
        ("test", test, "test accuracy says nothing about it"),
    ):
        absent = set(range(len(class_names))) - set(labels.unique().tolist())
        if absent:
            found.append(f"{name}: no {part} image of class {few([class_names[i] for i in sorted(absent)])}, so {so}")
    return tuple(found)


def few(names: Sequence[str]) -> str:
    """`names` in a line, those behind the fifth only counted."""
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def limited(what: str, labels: Tensor, limit: int, names: Sequence[str] | None = None) -> Tensor:
    """Rows of a fixed stratified subset of `limit` images."""
    classes = len(labels.unique())
    if not classes <= limit <= len(labels):
        raise ValueError(f"{what}: a limit lies between {classes} (the classes) and {len(labels)}, got {limit}")
    if limit == len(labels):
        return torch.arange(len(labels))
    try:
        return torch.from_numpy(stratified(labels.numpy(), limit / len(labels), 0, names, exact_total=True)[0])
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def check_labels(what: str, labels: Tensor, count: int, num_classes: int) -> None:
    """Refuse labels that do not fit `count` images of `num_classes` classes."""
    if labels.ndim != 1 or len(labels) != count:
        raise ValueError(f"{what}: {tuple(labels.shape)} labels for {count} images")
    if not count:
        raise ValueError(f"{what}: there are no images")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        wrong = low if low < 0 else high
        raise ValueError(
            f"{what}: label {wrong} is out of range; {num_classes} classes have labels 0..{num_classes - 1}"
        )
    if len(labels.unique()) < 2:
        raise ValueError(f"{what}: all images are of class {low}; a classifier needs at least 2 classes")
