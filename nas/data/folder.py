"""A user's own images: one folder per class, in memory where they fit, else decoded as they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from search_spaces.plain_data.annotations import Count, Positive, Range
from search_spaces.resolution import Pixels, canonical

if TYPE_CHECKING:
    from nas.data.images import ImageData

RESOLUTION = 224
Classes = Annotated[int, Range(2)]
CropPercent = Annotated[float, Range(0, 1, above=True)]
TestFraction = Annotated[float, Range(0, 1, above=True, below=True)]


def imagefolder(
    root: str,
    resolution: Pixels | None = None,
    in_channels: Literal[1, 3] = 3,
    crop_percent: CropPercent = 0.875,
    test_fraction: TestFraction = 0.2,
    split_seed: Count = 0,
    memory_limit_mb: Count = 2048,
    workers: Positive = 4,
    train_limit: Positive | None = None,
    test_limit: Positive | None = None,
    skip_unreadable: bool = False,
    classes: Classes | list[str | int] | None = None,
) -> ImageData:
    """The images under `root`: `train/<class>/*` and `test/` (or `val/`, `valid/`) `<class>/*`, or `<class>/*` alone.

    Without a test folder, `test_fraction` of each class is the test split, drawn by `split_seed`. Images are converted
    to RGB (`in_channels=1`: to grey) and resized, their proportions kept, until they just cover `resolution /
    crop_percent` pixels; the centre of that size is kept, of which evaluation sees the central `resolution` pixels,
    training a random window. `resolution`: pixels of square images or `[height, width]`, default 224. Images of up
    to `memory_limit_mb` are decoded once, by `workers` threads; beyond, each epoch decodes them again. Either way the
    batches are the same. `train_limit`, `test_limit`: keep that many images, the same share of each class.
    `skip_unreadable`: leave out, and count, images that cannot be read. `classes`: those of these names alone, or so
    many that `split_seed` draws.

    Raises `ValueError` for a folder that is missing, empty or of one class, for test images of classes that training
    has not, and for images that cannot be read, naming them.
    """
    given = canonical(RESOLUTION if resolution is None else resolution, "data.resolution")
    if not 0 < test_fraction < 1:
        raise ValueError(f"data.test_fraction must lie between 0 and 1, got {test_fraction}")
    from nas.data.files.listing import listing
    from nas.data.files.reading import Reading, read_images

    how = Reading(given, in_channels, crop_percent, memory_limit_mb, workers, skip_unreadable)
    listed = listing(Path(root), test_fraction, split_seed).of_classes(classes, split_seed)
    return read_images(root, listed, how, train_limit, test_limit)
