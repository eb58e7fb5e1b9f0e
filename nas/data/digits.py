"""Handwritten digits: the 1,797 scans of 8x8 pixels that ship with scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.resolution import Pixels

if TYPE_CHECKING:
    from nas.data.images import ImageData

RESOLUTION = 16
TRAIN_FRACTION = 0.75
SPLIT_SEED = 0  # part of the data set's definition: figures are comparable only on one split


def digits(resolution: Pixels | None = None) -> ImageData:
    """1,347 training and 450 test images, ten classes, one channel, upsampled to `resolution` (default 16) pixels.

    The split is stratified and fixed. Source: Alpaydin and Kaynak, UCI "Optical Recognition of Handwritten Digits";
    scikit-learn carries the original's test part.
    """
    import torch
    from sklearn.datasets import load_digits

    from nas.data.images import in_memory, stratified

    bunch = load_digits()
    images = torch.from_numpy(bunch.images * (255 / 16)).round().to(torch.uint8)[:, None]
    labels = torch.from_numpy(bunch.target).long()
    parts = [torch.from_numpy(rows) for rows in stratified(bunch.target, TRAIN_FRACTION, SPLIT_SEED)]
    train, test = ((images[rows], labels[rows]) for rows in parts)
    return in_memory(
        "digits", train, test, [str(i) for i in range(10)], RESOLUTION if resolution is None else resolution
    )
