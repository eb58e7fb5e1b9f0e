"""Data sets that a process keeps between the trainings of candidates, as many as fit in a share of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from nas.data.images import ImageData

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


def image_bytes(data: ImageData) -> int:
    """Bytes of the images `data` holds in memory; those left in files count nothing."""
    sources = {id(split.source): split.source for split in (data.train, data.test)}
    held = (getattr(source, "images", None) for source in sources.values())
    return sum(images.numel() * images.element_size() for images in held if images is not None)
