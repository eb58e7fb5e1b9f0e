"""Images in tar archives (WebDataset's shards), read from where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.data.folder import RESOLUTION, Classes, CropPercent
from search_spaces.plain_data.annotations import Count, Positive
from search_spaces.resolution import Pixels, canonical

if TYPE_CHECKING:
    from nas.data.images import ImageData


def shards(
    root: str,
    resolution: Pixels | None = None,
    in_channels: Literal[1, 3] = 3,
    crop_percent: CropPercent = 0.875,
    memory_limit_mb: Count = 2048,
    workers: Positive = 4,
    train_limit: Positive | None = None,
    test_limit: Positive | None = None,
    skip_unreadable: bool = False,
    classes: Classes | list[str | int] | None = None,
    split_seed: Count = 0,
) -> ImageData:
    """The images in `root/train/*.tar` and `root/val/*.tar`; other layouts: `nas.data.files.shards.shard_listing`.

    Everything else is as with `nas.data.folder.imagefolder`: sizes, memory, limits, classes, and the order of batches,
    which is the same for any number of shards, workers and processes. `split_seed` draws `classes`.
    """
    given = canonical(RESOLUTION if resolution is None else resolution, "data.resolution")
    from nas.data.files.reading import Reading, read_images
    from nas.data.files.shards import shard_listing

    how = Reading(given, in_channels, crop_percent, memory_limit_mb, workers, skip_unreadable)
    listed = shard_listing(Path(root)).of_classes(classes, split_seed)
    return read_images(root, listed, how, train_limit, test_limit)
