"""The data set my_name.

    python -m nas.search --config-dir my_cards data=my_name

Folders of images (data=imagefolder), arrays in a file (data=npz), tar archives (data=shards) and data sets that Hugging
Face's datasets saved (data=huggingface) need no code.
"""

import torch

from nas.data.images import ImageData, in_memory
from search_spaces.resolution import Pixels

CLASSES = ("disc", "square")


def my_name(resolution: Pixels = 16, count: int = 600) -> ImageData:
    """Discs and squares in noise, five sixths of them to train with. The card's keys are these arguments."""
    images, labels = drawn(count)
    images, labels = images[order := torch.randperm(count, generator=stream(1))], labels[order]
    cut = count * 5 // 6
    # Test images judge the final network alone; what a search compares candidates by, it holds out of the others.
    training, test = (images[:cut], labels[:cut]), (images[cut:], labels[cut:])
    return in_memory("my_name", training, test, CLASSES, resolution)


def drawn(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace this: images (n, channels, height, width), uint8 or float32, and labels (n,), int64 from 0."""
    noise = torch.randint(0, 128, (count, 1, 16, 16), dtype=torch.uint8, generator=stream(0))
    labels = torch.arange(count) % len(CLASSES)
    centres = torch.rand(count, 2, 1, 1, generator=stream(2)) * 6 + 5
    radii = torch.rand(count, 1, 1, generator=stream(3)) * 2 + 2.5
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    dy, dx = (y - centres[:, 0]).abs(), (x - centres[:, 1]).abs()
    disc, square = dy.square() + dx.square() <= radii.square(), torch.maximum(dy, dx) <= radii
    inside = torch.where(labels[:, None, None] == 0, disc, square)
    return noise + 127 * inside[:, None].to(torch.uint8), labels


def stream(number: int) -> torch.Generator:
    """Random numbers that are the same at every call: data that changes is other data, and nothing is reused."""
    return torch.Generator().manual_seed(number)
