"""What all jobs about a network and images have in common, and the data sets that a process keeps between them."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from nas.data.card import DataSource
from nas.data.files.stamp import stamp
from nas.data.images import ImageData, limited
from nas.train.accelerator import Accelerator
from nas.train.several.alone import alone
from search_spaces.arch import Arch
from search_spaces.resolution import Resolution

KEPT_BYTES = 2**30  # of images in memory; searched resolutions are several data sets


class KeptData:
    """The data sets used last, up to `limit_bytes` of images; the very last is kept whatever its size."""

    def __init__(self, limit_bytes: int = KEPT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Hashable, ImageData] = OrderedDict()

    def get(self, key: Hashable, load: Callable[[], ImageData]) -> ImageData:
        """The data of `key`, loaded where they are not kept."""
        if key not in self._kept:
            self._kept[key] = load()
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(map(image_bytes, self._kept.values())) > self.limit_bytes:
            self._kept.popitem(last=False)
        return self._kept[key]


def with_fewer(data: ImageData, images: int) -> ImageData:
    """`data` with so many of its training images, a fixed stratified subset.

    Raises `ValueError`, naming the setting, where there are fewer images, or more classes.
    """
    rows = limited("search.images", data.train.labels, images, data.class_names)
    return dataclasses.replace(data, train=data.train.subset(rows))


def image_bytes(data: ImageData) -> int:
    """Bytes of the images `data` holds in memory; those left in files count nothing."""
    sources = {id(split.source): split.source for split in (data.train, data.test)}
    held = (getattr(source, "images", None) for source in sources.values())
    return sum(images.numel() * images.element_size() for images in held if images is not None)


_KEPT = KeptData()  # of this process, which does one job after the other


@dataclass(frozen=True, kw_only=True)
class ImageJob:
    """A network of `arch` and the images that score it, as picklable data: the same wherever and whenever it is done.

    `data`: a resolved data card, or data in memory, whose content is that of `fingerprint` (at the resolution of the
    search's data); `validation_fraction` of its training images score the network and are not trained on (the same
    ones for all networks of a `seed`), `train_images` of the others are (None: all). `accelerator`: auto, cpu, cuda.
    `modules`: what registers the block kinds and activations of the arch.
    """

    arch: dict[str, Any]
    data: Mapping[str, Any] | ImageData
    fingerprint: str
    validation_fraction: float
    seed: int
    accelerator: str
    precision: str
    train_images: int | None = None
    modules: tuple[str, ...] = ()

    def decoded(self) -> Arch:
        """The arch, whose kinds of blocks and activations are registered in this process then."""
        for module in self.modules:
            if module != "__main__":  # a process that multiprocessing starts has run the program's file
                importlib.import_module(module)
        return Arch.from_dict(self.arch)

    def images(self, resolution: Resolution) -> ImageData:
        """Training images without those that score, and these as test images; the test split is not looked at."""

        def load() -> ImageData:
            data = DataSource(self.data).at(resolution).held_out(1 - self.validation_fraction, self.seed)
            return data if self.train_images is None else with_fewer(data, self.train_images)

        if isinstance(self.data, Mapping):
            content = (json.dumps({**self.data, "resolution": resolution}), stamp(self.data))
        else:
            content = (self.fingerprint, f"{resolution}")
        return _KEPT.get((*content, self.validation_fraction, self.train_images, self.seed), load)

    def alone(self) -> Accelerator:
        """The device that this process does it on, with no other process."""
        return alone(self.accelerator, self.precision)


def kind_of_device(accelerator: str) -> str:
    """What `auto` means here: CPU and GPU round otherwise."""
    return "cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu"
