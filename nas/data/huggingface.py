"""Images of a data set that Hugging Face's `datasets` saved on disk, read from where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nas.data.folder import RESOLUTION, Classes, CropPercent, TestFraction
from search_spaces.plain_data.annotations import Count, Positive
from search_spaces.resolution import Pixels, canonical

if TYPE_CHECKING:
    from nas.data.images import ImageData


def huggingface(
    root: str,
    resolution: Pixels | None = None,
    in_channels: Literal[1, 3] = 3,
    crop_percent: CropPercent = 0.875,
    image_column: str | None = None,
    label_column: str | None = None,
    test_fraction: TestFraction = 0.2,
    split_seed: Count = 0,
    memory_limit_mb: Count = 2048,
    workers: Positive = 4,
    train_limit: Positive | None = None,
    test_limit: Positive | None = None,
    skip_unreadable: bool = False,
    classes: Classes | list[str | int] | None = None,
) -> ImageData:
    """The images in the folder `root` that `save_to_disk` wrote: `train` and `test` (or `validation`), or one data set.

    The package `datasets` is not needed, `pyarrow` is. `image_column`, `label_column`: the columns of kind Image and
    ClassLabel, where there are several. Everything else is as with `nas.data.folder.imagefolder`: sizes, memory,
    limits, classes, how one data set is divided, and the order of batches.

    Raises `ValueError` without pyarrow, for another folder, for missing columns, for rows without image or class, and
    for images that cannot be read, naming them.
    """
    given = canonical(RESOLUTION if resolution is None else resolution, "data.resolution")
    if not 0 < test_fraction < 1:
        raise ValueError(f"data.test_fraction must lie between 0 and 1, got {test_fraction}")
    from nas.data.files.arrow import arrow_listing
    from nas.data.files.reading import Reading, read_images

    how = Reading(given, in_channels, crop_percent, memory_limit_mb, workers, skip_unreadable)
    listed = arrow_listing(Path(root), (image_column, label_column), test_fraction, split_seed)
    return read_images(root, listed.of_classes(classes, split_seed), how, train_limit, test_limit)
