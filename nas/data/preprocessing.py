"""How an image becomes what a network takes: said once by the data, saved with every network trained on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from search_spaces.resolution import Pixels, Resolution, Size, canonical, size

MODES = {1: "L", 3: "RGB"}  # Pillow's name of an image with so many channels
LONG = 16  # up to here, long over short side, an image is resized whole: pixel for pixel what timm does


@dataclass(frozen=True)
class Preprocessing:
    """The way from an image of any size to one of the resolution, in the terms of timm's evaluation transform.

    `crop_mode` "squash": both sides are resized to the resolution; "center": the image is resized, its proportions
    kept, until it just covers floor(resolution / `crop_percent`), and its centre is used. `interpolation` is Pillow's,
    antialiased. `pad`: pixels of black on every side before anything else (timm has no word for it: `open_image` does
    it). `arrays`: where images are no pictures but arrays (C, H, W), their type: "uint8", of which 255 counts as 1, or
    "float32", in a unit of their own.
    """

    crop_mode: str = "squash"
    crop_percent: float = 1.0
    interpolation: str = "bilinear"
    pad: int = 0
    arrays: str | None = None


SQUASHED = Preprocessing()


def kept_side(side: int, crop_percent: float) -> int:
    """Pixels of a side that are kept: evaluation uses the central `side` of them."""
    return max(math.floor(side / crop_percent), side)


def kept_size(resolution: Pixels, crop_percent: float) -> Resolution:
    """Height and width of the windows that are kept: evaluation uses their central `resolution` pixels."""
    return canonical([kept_side(side, crop_percent) for side in size(resolution)])


def centre(outer: int, inner: int) -> int:
    """Where the central `inner` of `outer` pixels begin; rounded as torchvision's `CenterCrop` does."""
    return round((outer - inner) / 2)


def cut(image: Image.Image, kept: Pixels, resolution: Pixels) -> np.ndarray:
    """The window `kept` whose central `resolution` are timm's transform's pixels: (height, width[, C]) uint8."""
    window, used = size(kept), size(resolution)
    resized = _covering(image.size, window)
    top = centre(resized.height, used.height) - centre(window.height, used.height)
    left = centre(resized.width, used.width) - centre(window.width, used.width)
    width, height = image.size
    stretch = sorted((width * window.height, height * window.width))
    if stretch[1] > LONG * stretch[0]:  # 1 x 60,000 pixels would become 200 million: resize no more than the window
        across, down = width / resized.width, height / resized.height
        box = (left * across, top * down, (left + window.width) * across, (top + window.height) * down)
        inside = (box[0], box[1], min(box[2], width), min(box[3], height))
        return np.array(image.resize((window.width, window.height), Image.Resampling.BILINEAR, box=inside))
    whole = image.resize((resized.width, resized.height), Image.Resampling.BILINEAR)
    return np.array(whole.crop((left, top, left + window.width, top + window.height)))


def _covering(image: tuple[int, int], window: Size) -> Size:
    """The size that an `image` (width, height) is resized to so that it just covers `window`; rounded as timm does."""
    width, height = image
    if window.height == window.width:
        longer = int(window.height * max(image) / min(image))
        return Size(longer, window.width) if width <= height else Size(window.height, longer)
    ratio = min(height / window.height, width / window.width)
    return Size(round(height / ratio), round(width / ratio))
