"""Augmentation of whole batches. Everything random is drawn per image for a whole epoch before its first batch.

So what an image undergoes depends on (seed, epoch) alone: not on the batch size, the device or the process count.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.data.preprocessing import centre
from search_spaces.augment import AUGMENTS, Augment

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


def crop_windows(images: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """From each of (B, C, H, W) the `side` x `side` window at its own (top, left): one gather for the batch."""
    steps = torch.arange(side, device=images.device)
    rows = (top[:, None] + steps)[:, None, :, None]
    columns = (left[:, None] + steps)[:, None, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return images[batch, channel, rows, columns]


def centre_crop(images: Tensor, side: int) -> Tensor:
    """The central `side` x `side` window of (B, C, H, W)."""
    top, left = centre(images.shape[2], side), centre(images.shape[3], side)
    return images[:, :, top : top + side, left : left + side]


def apply(policy: Augment, images: Tensor, u: Tensor, side: int, fill: Tensor) -> Tensor:
    """`policy` on uint8 `images` (B, C, S, S), S >= side, with the draws `u` (B, DRAWS).

    Returns (B, C, side, side): uint8, or float32 on the same scale where the policy interpolates or erases. `fill`:
    (C,), what erased pixels become (0 to 255).
    """
    stored = images.shape[-1]
    if policy.resized_crop is not None:
        images = _resized_crop(images.float(), u, side, policy.resized_crop)
    elif policy.pad or stored > side:
        margin = round(side * policy.pad)
        if margin:
            images = F.pad(images, (margin,) * 4)
        if policy.pad or policy.flip:
            choices = images.shape[-1] - side + 1
            images = crop_windows(images, (u[:, 0] * choices).long(), (u[:, 1] * choices).long(), side)
        else:
            images = centre_crop(images, side)
    if policy.flip:
        images = torch.where((u[:, 2] < 0.5)[:, None, None, None], images.flip(3), images)
    if policy.erase:
        images = _erase(images.float(), u, policy.erase, fill)
    return images


def _resized_crop(images: Tensor, u: Tensor, side: int, area: tuple[float, float]) -> Tensor:
    low, high = area
    scale = low + (high - low) * u[:, 0]
    ratio = torch.exp((2 * u[:, 1] - 1) * math.log(4 / 3))
    width = (scale * ratio).sqrt().clamp(max=1.0)
    height = (scale / ratio).sqrt().clamp(max=1.0)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2] = (2 * u[:, 3] - 1) * (1 - width)
    theta[:, 1, 2] = (2 * u[:, 4] - 1) * (1 - height)
    grid = F.affine_grid(theta, [len(images), images.shape[1], side, side], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _erase(images: Tensor, u: Tensor, probability: float, fill: Tensor) -> Tensor:
    side = images.shape[-1]
    half = side / 4
    steps = torch.arange(side, device=images.device) + 0.5
    rows = (steps - side * u[:, 3, None]).abs() < half
    columns = (steps - side * u[:, 4, None]).abs() < half
    erased = rows[:, :, None] & columns[:, None, :] & (u[:, 5] < probability)[:, None, None]
    return torch.where(erased[:, None], fill[None, :, None, None], images)
