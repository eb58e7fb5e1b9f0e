"""One image file to 8-bit pixels: upright, opaque, and of the range its format means; or an error that names it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from nas.data.files.stored import Part, opened

# By content, whatever the name ends in: Pillow's other readers start programs (EPS) or reach further than an image.
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
EXTENSIONS = (
    *(".avif", ".bmp", ".dib", ".gif", ".ico", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")


class UnreadableError(ValueError):
    """A file that cannot be used as an image, and why."""

    def __init__(self, path: str | Path | Part, reason: str) -> None:
        super().__init__(f"image {path} cannot be read: {reason}")
        self.path, self.reason = str(path), reason


def open_image(path: str | Path | Part, mode: str = "RGB", pad: int = 0) -> Image.Image:
    """The image in `path`, a file or a part of one, in Pillow's `mode` "RGB" or "L", with `pad` black pixels around it.

    Turned upright as its EXIF orientation says; transparent parts show white; of 16 bits the upper 8 are used; floats
    must lie in 0..1; of several frames or pages the first is taken. Raises `UnreadableError` naming file and cause.
    """
    try:
        Image.init()
        formats = [name for name in FORMATS if name in Image.OPEN]
        with opened(path if isinstance(path, Part) else str(path)) as file, Image.open(file, formats=formats) as image:
            upright = ImageOps.exif_transpose(_eight_bits(image))
            converted = _opaque(upright).convert(mode)
    except UnidentifiedImageError:
        raise UnreadableError(path, "it is not an image, or its format is not supported") from None
    except Exception as error:  # Pillow's readers meet damaged files with exceptions of nearly every kind
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(path, reason) from None
    return ImageOps.expand(converted, pad) if pad else converted


def _eight_bits(image: Image.Image) -> Image.Image:
    """`image` with 8 bits per channel; its metadata stay with it."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):  # Pillow widens PGM to 16 bits
        pixels = (np.asarray(image) >> 8).astype(np.uint8)
    elif image.mode == "I":
        raise ValueError("whole numbers of 32 bits have no range that means white; save it with 8 or 16 bits")
    elif image.mode == "F":
        values = np.asarray(image)
        if not (values.min() >= 0 and values.max() <= 1):  # so written, NaN fails too
            raise ValueError(f"floats must lie in 0..1, these in {values.min():.4g}..{values.max():.4g}")
        pixels = (values * 255).round().astype(np.uint8)
    else:
        return image
    found = Image.fromarray(pixels)
    found.getexif().update(image.getexif())
    return found


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image
    seen = Image.new("RGBA", image.size, "white")
    seen.alpha_composite(image.convert("RGBA"))
    return seen.convert("RGB")
