"""Augmentation of whole batches. Everything random is drawn per image for a whole epoch before its first batch.

So what an image undergoes depends on (seed, epoch) alone: not on the batch size, the device or the process count.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.preprocessing import centre
from nas.data.rand_augment import rand_augment
from search_spaces.augment import AUGMENTS, Augment
from search_spaces.resolution import Pixels, size

DRAWS = 6  # uniform numbers per image and epoch


def augment_named(name: str | None) -> Augment:
    """The policy called `name` (None: no augmentation). Raises `ValueError` listing the policies."""
    if name is None:
        return AUGMENTS["none"]
    if name not in AUGMENTS:
        raise ValueError(f"unknown augmentation {name!r}; one of {', '.join(AUGMENTS)}")
    return AUGMENTS[name]


def draw(count: int, generator: torch.Generator) -> Tensor:
    """The random numbers of `count` images: (count, DRAWS), uniform in [0, 1)."""
    return torch.rand(count, DRAWS, generator=generator)


def crop_windows(images: Tensor, top: Tensor, left: Tensor, window: Pixels) -> Tensor:
    """From each of (B, C, H, W) the `window` at its own (top, left): one gather for the batch."""
    height, width = size(window)
    rows = (top[:, None] + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=images.device))[:, None, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[batch, channel, rows, columns]


def centre_crop(images: Tensor, window: Pixels) -> Tensor:
    """The central `window` of (B, C, H, W)."""
    height, width = size(window)
    top, left = centre(images.shape[2], height), centre(images.shape[3], width)
    return images[:, :, top : top + height, left : left + width]


def apply(policy: Augment, images: Tensor, u: Tensor, resolution: Pixels, fill: Tensor) -> Tensor:
    """`policy` on `images` (B, C, H, W) of `resolution` or larger, uint8 or float32, with the draws `u` (B, DRAWS).

    Returns them at `resolution`: as they came, or float32 on the same scale where the policy interpolates or erases.
    `fill`: (C,), what erased pixels become, and what float32 images are padded with, on that scale.
    """
    height, width = size(resolution)
    if policy.rand and images.is_floating_point():
        raise ValueError(
            "RandAugment changes bytes, and these images are floats in a unit of their own: take another augment"
        )
    if policy.resized_crop is not None:
        images = _resized_crop(images.float(), u, resolution, policy.resized_crop)
    elif policy.pad or images.shape[2:] != (height, width):
        rows, columns = round(height * policy.pad), round(width * policy.pad)
        if rows or columns:
            images = _padded(images, rows, columns, fill)
        if policy.pad or policy.flip:
            tops, lefts = images.shape[2] - height + 1, images.shape[3] - width + 1
            images = crop_windows(images, (u[:, 0] * tops).long(), (u[:, 1] * lefts).long(), resolution)
        else:
            images = centre_crop(images, resolution)
    if policy.flip:
        images = torch.where((u[:, 2] < 0.5)[:, None, None, None], images.flip(3), images)
    if policy.rand:
        images = rand_augment(policy.rand, images, u, fill)
    if policy.erase:
        images = _erase(images.float(), u, policy.erase, fill)
    return images


def _padded(images: Tensor, rows: int, columns: int, fill: Tensor) -> Tensor:
    """`images` between margins: black ones around bytes; of `fill` around numbers whose zero may mean anything."""
    if not images.is_floating_point():
        return F.pad(images, (columns, columns, rows, rows))
    count, _, height, width = images.shape
    framed = fill[:, None, None].repeat(count, 1, height + 2 * rows, width + 2 * columns)
    framed[:, :, rows : rows + height, columns : columns + width] = images
    return framed


def _resized_crop(images: Tensor, u: Tensor, resolution: Pixels, area: tuple[float, float]) -> Tensor:
    low, high = area
    scale = low + (high - low) * u[:, 0]
    ratio = torch.exp((2 * u[:, 1] - 1) * math.log(4 / 3))
    width = (scale * ratio).sqrt().clamp(max=1.0)
    height = (scale / ratio).sqrt().clamp(max=1.0)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2] = (2 * u[:, 3] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * u[:, 4] - 1) * (1 - height)
    grid = F.affine_grid(theta, [len(images), images.shape[1], *size(resolution)], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _erase(images: Tensor, u: Tensor, probability: float, fill: Tensor) -> Tensor:
    inside = []
    for axis, draws in ((2, u[:, 3, None]), (3, u[:, 4, None])):
        side = images.shape[axis]
        steps = torch.arange(side, device=images.device) + 0.5
        inside.append((steps - side * draws).abs() < max(side / 4, 0.5))
    rows, columns = inside
    erased = rows[:, :, None] & columns[:, None, :] & (u[:, 5] < probability)[:, None, None]
    return torch.where(erased[:, None], fill[None, :, None, None], images)
