"""RandAugment (arXiv 1909.13719) by timm, with random numbers that belong to an image and its epoch."""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nas.data.preprocessing import MODES


def rand_augment(config: str, images: Tensor, u: Tensor, fill: Tensor) -> Tensor:
    """`images` (B, C, H, W), from 0 to 255, each by timm's transform `config`: (B, C, H, W) uint8, where they were.

    `u` (B, D): random numbers, from which follows what happens to an image; `fill` (C,): what moves in from outside.
    Images pass one after the other on the CPU. Raises `ValueError` for images that are neither grey nor in colour.
    """
    channels = images.shape[1]
    if channels not in MODES:
        raise ValueError(f"RandAugment takes images of 1 or 3 channels, these have {channels}; take another augment")
    transform = _transform(config, tuple(int(value) for value in fill.round().clamp(0, 255).tolist()))
    pixels = images.round().clamp(0, 255).to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    found = np.empty_like(pixels)
    with _own_streams():
        for row, image, into in zip(u.cpu().contiguous().numpy(), pixels, found, strict=True):
            seed = int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:4], "big")
            random.seed(seed)
            np.random.seed(seed)
            into[:] = np.asarray(transform(_picture(image)), np.uint8).reshape(into.shape)
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous().to(images.device)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


@functools.cache
def _transform(config: str, fill: tuple[int, ...]) -> Callable[[Image.Image], Image.Image]:
    from timm.data.auto_augment import rand_augment_transform

    return rand_augment_transform(config, {"img_mean": fill if len(fill) > 1 else fill[0]})


@contextmanager
def _own_streams() -> Iterator[None]:
    """timm draws from the process's streams: leave them as they were, since mixup draws from them too."""
    kept, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(kept)
        np.random.set_state(of_numpy)
