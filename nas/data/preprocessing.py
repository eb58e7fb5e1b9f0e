"""How an image becomes what a network takes: said once by the data, saved with every network trained on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

MODES = {1: "L", 3: "RGB"}  # Pillow's name of an image with so many channels
LONG = 16  # up to here, long over short side, an image is resized whole: pixel for pixel what timm does


@dataclass(frozen=True)
class Preprocessing:
    """The way from an image of any size to a square one, in the terms of timm's evaluation transform.

    `crop_mode` "squash": both sides are resized to the resolution; "center": the shorter side is resized to
    floor(resolution / `crop_percent`) and the central square is used. `interpolation` is Pillow's, antialiased.
    `pad`: pixels of black on every side before anything else (timm has no word for it: `open_image` does it).
    """

    crop_mode: str = "squash"
    crop_percent: float = 1.0
    interpolation: str = "bilinear"
    pad: int = 0


SQUASHED = Preprocessing()


def kept_side(resolution: int, crop_percent: float) -> int:
    """Side in pixels of the squares that are kept: evaluation uses their central `resolution` pixels."""
    return max(math.floor(resolution / crop_percent), resolution)


def centre(outer: int, inner: int) -> int:
    """Where the central `inner` of `outer` pixels begin; rounded as torchvision's `CenterCrop` does."""
    return round((outer - inner) / 2)


def cut(image: Image.Image, kept: int, resolution: int) -> np.ndarray:
    """The square of `kept` pixels whose central `resolution` are those of timm's transform: (kept, kept[, C]) uint8."""
    width, height = image.size
    short, long = sorted(image.size)
    longer = int(kept * long / short)
    size = (kept, longer) if width <= height else (longer, kept)
    left, top = (centre(side, resolution) - centre(kept, resolution) for side in size)
    if long > LONG * short:  # 1 x 60,000 pixels would become 200 million: resize no more than the square
        scale = (width / size[0], height / size[1])
        box = (left * scale[0], top * scale[1], (left + kept) * scale[0], (top + kept) * scale[1])
        inside = (box[0], box[1], min(box[2], width), min(box[3], height))
        return np.array(image.resize((kept, kept), Image.Resampling.BILINEAR, box=inside))
    resized = image.resize(size, Image.Resampling.BILINEAR)
    return np.array(resized.crop((left, top, left + kept, top + kept)))
