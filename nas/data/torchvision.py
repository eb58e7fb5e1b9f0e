"""Fashion-MNIST and CIFAR from torchvision's folders, or from one .npz file. Nothing is downloaded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.data.arrays import as_part, read_npz
from search_spaces.plain_data.annotations import Positive
from search_spaces.resolution import Pixels

if TYPE_CHECKING:
    from nas.data.arrays import Part
    from nas.data.images import ImageData

FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RESOLUTION = 32
DATA_SETS = {"fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}  # by their cards
PAD = 2  # from 28 pixels


def fashion_mnist(
    root: str, resolution: Pixels | None = None, train_limit: Positive | None = None, test_limit: Positive | None = None
) -> ImageData:
    """60,000 + 10,000 grayscale images of clothing (Xiao et al., arXiv 1708.07747), padded from 28 to 32 pixels.

    `root`: the folder that holds torchvision's `FashionMNIST/raw`, or an .npz file. Another `resolution` than 32
    resizes the padded images. `train_limit`, `test_limit`: keep that many images, the same share of each class.
    """
    from torch.nn.functional import pad

    from nas.data.images import in_memory
    from nas.data.preprocessing import Preprocessing

    train, test = ((pad(images, (PAD,) * 4), labels) for images, labels in _read("FashionMNIST", root, (1, 28, 28)))
    side = RESOLUTION if resolution is None else resolution
    data = in_memory("fashion_mnist", train, test, FASHION, side, (train_limit, test_limit))
    return dataclasses.replace(data, preprocessing=Preprocessing(pad=PAD))


def cifar10(
    root: str, resolution: Pixels | None = None, train_limit: Positive | None = None, test_limit: Positive | None = None
) -> ImageData:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images, ten classes, 32 pixels.

    `root`: the folder that holds torchvision's `cifar-10-batches-py`, or an .npz file. Other parameters as for
    `fashion_mnist`.
    """
    from nas.data.images import in_memory

    train, test = _read("CIFAR10", root, (3, 32, 32))
    side = RESOLUTION if resolution is None else resolution
    return in_memory("cifar10", train, test, CIFAR10, side, (train_limit, test_limit))


def cifar100(
    root: str, resolution: Pixels | None = None, train_limit: Positive | None = None, test_limit: Positive | None = None
) -> ImageData:
    """CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images, a hundred classes, 32 pixels; as `cifar10`."""
    from nas.data.images import in_memory

    train, test = _read("CIFAR100", root, (3, 32, 32))
    side = RESOLUTION if resolution is None else resolution
    return in_memory("cifar100", train, test, [str(i) for i in range(100)], side, (train_limit, test_limit))


def not_there(card: str, root: str) -> str:
    """What is said where there is nothing at the `root` of a card of this file."""
    what = "is not a directory" if not root.endswith(".npz") else "is no file"
    return f"data.root={root} {what}; {_download(DATA_SETS[card], root)}"


def _download(dataset: str, root: str) -> str:
    return (
        "on a machine with a network, get it once with: python -c "
        f"\"import torchvision; torchvision.datasets.{dataset}('{root}', download=True)\", or give an "
        ".npz file as data.root"
    )


def _read(dataset: str, root: str, shape: tuple[int, int, int]) -> tuple[Part, Part]:
    if str(root).endswith(".npz"):
        parts = read_npz(root)
    else:
        parts = _read_folder(dataset, root, True), _read_folder(dataset, root, False)
    for images, _ in parts:
        if tuple(images.shape[1:]) != shape:
            raise ValueError(
                f"{root}: images of {dataset} are {shape} (channels, height, width), got "
                f"{tuple(images.shape[1:])}; other images: data=npz"
            )
    return parts


def _read_folder(dataset: str, root: str, train: bool) -> Part:
    from torchvision import datasets

    try:
        read = getattr(datasets, dataset)(root, train=train, download=False)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        reason = "is not a directory" if not Path(root).is_dir() else f"holds no complete {dataset}"
        detail = "" if "not found" in str(error).lower() else f" ({str(error).splitlines()[0]})"
        files = sorted(Path(root).glob("*.npz")) if Path(root).is_dir() else []
        if len(files) == 1:
            raise ValueError(f"data.root={root} {reason}{detail}; for the file in it: data.root={files[0]}") from None
        raise ValueError(f"data.root={root} {reason}{detail}; {_download(dataset, root)}") from None
    return as_part(f"{dataset} in {root}", np.asarray(read.data), np.asarray(read.targets))
