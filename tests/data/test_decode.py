"""Image files of every sort: the pixels their format means, or a refusal that names file and cause."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from nas.data.files.decode import open_image
from nas.data.preprocessing import cut, kept_side, kept_size
from search_spaces.resolution import Size, size

RAMP = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)


def pixels(path: Path, mode: str = "L") -> np.ndarray:
    return np.asarray(open_image(path, mode))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(orientation: int, tmp_path: Path) -> None:
    turned = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # to Pillow's transposition that undoes it
    exif = Image.Exif()
    exif[0x112] = orientation
    image = Image.fromarray(RAMP)
    image.save(tmp_path / "a.png", exif=exif)
    upright = image if orientation == 1 else image.transpose(Image.Transpose(turned[orientation]))
    assert np.array_equal(pixels(tmp_path / "a.png"), np.asarray(upright))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_sixteen_bits_keep_their_range(name: str, tmp_path: Path) -> None:
    deep = RAMP.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / name)
    assert np.array_equal(pixels(tmp_path / name), RAMP)
    assert np.array_equal(pixels(tmp_path / name, "RGB")[..., 1], RAMP)


def test_sixteen_bits_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(pixels(tmp_path / "a.png"), np.rot90(RAMP, -1))


def test_floats_lie_between_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(RAMP.astype(np.float32) / 255).save(tmp_path / "a.tif")
    assert np.array_equal(pixels(tmp_path / "a.tif"), RAMP)
    for values in (RAMP.astype(np.float32), np.full((4, 4), np.nan, np.float32)):
        Image.fromarray(values).save(tmp_path / "b.tif")
        with pytest.raises(ValueError, match=r"image .*b.tif cannot be read: floats must lie in 0..1"):
            pixels(tmp_path / "b.tif")
    Image.fromarray(RAMP.astype(np.int32)).save(tmp_path / "c.tif")
    with pytest.raises(ValueError, match=r"c.tif cannot be read: whole numbers of 32 bits have no range"):
        pixels(tmp_path / "c.tif")


def test_what_is_transparent_shows_white(tmp_path: Path) -> None:
    hidden = np.zeros((4, 4, 4), np.uint8)
    hidden[..., 0] = 255  # red, wherever it can be seen
    hidden[0, 0, 3] = 255
    Image.fromarray(hidden).save(tmp_path / "a.png")
    found = pixels(tmp_path / "a.png", "RGB")
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[1:].min() == 255
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((2, 1), 1)
    palette.save(tmp_path / "b.gif", transparency=0)
    found = pixels(tmp_path / "b.gif", "RGB")
    assert found[1, 2].tolist() == [40, 50, 60]
    assert found[0].min() == 255


def test_other_programs_files_are_no_images(tmp_path: Path) -> None:
    """Pillow would hand PostScript to ghostscript, whatever the file is called."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ValueError, match=r"a.png cannot be read: it is not an image"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_cut_images_are_those_of_timms_transform(mode: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(3, 90, 2))
        side, share = int(rng.integers(2, 40)), float(rng.choice([1.0, 0.875, 0.9, 0.61]))
        if max(height, width) > 16 * min(height, width):
            continue
        shape = (height, width) if mode == "L" else (height, width, 3)
        image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        transform = timm.data.create_transform(
            side, crop_pct=share, interpolation="bilinear", mean=(0.0,), std=(1.0,), is_training=False
        )
        kept = kept_side(side, share)
        margin = round((kept - side) / 2)
        square = cut(image, kept, side).reshape(kept, kept, -1)[margin : margin + side, margin : margin + side]
        expected = (transform(image) * 255).round().to(torch.uint8).permute(1, 2, 0)
        assert np.array_equal(square, expected.numpy())


def test_windows_that_are_not_square_are_those_of_timms_transform() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        height, width = (int(side) for side in rng.integers(3, 90, 2))
        used, share = Size(*(int(side) for side in rng.integers(2, 40, 2))), float(rng.choice([1.0, 0.875, 0.61]))
        kept = size(kept_size(used, share))
        stretch = sorted((width * kept.height, height * kept.width))
        if stretch[1] > 16 * stretch[0]:
            continue
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        transform = timm.data.create_transform(
            (3, *used), crop_pct=share, interpolation="bilinear", mean=(0.0,), std=(1.0,), is_training=False
        )
        top, left = (round((outer - inner) / 2) for outer, inner in zip(kept, used, strict=True))
        window = cut(image, kept, used)
        assert window.shape == (*kept, 3)
        expected = (transform(image) * 255).round().to(torch.uint8).permute(1, 2, 0)
        assert np.array_equal(window[top : top + used.height, left : left + used.width], expected.numpy())


def test_long_images_need_no_memory_for_their_length() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = Image.fromarray(np.arange(60_000, dtype=np.uint32).astype(np.uint8).reshape(1, -1))
    assert cut(line.convert("RGB"), 256, 224).shape == (256, 256, 3)
    assert cut(line.rotate(90, expand=True), 256, 224).shape == (256, 256)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    # Where both ways are possible, they agree but for rounding.
    ramp = Image.fromarray(np.arange(17 * 64 * 4, dtype=np.uint32).astype(np.uint8).reshape(4, -1))
    whole = ramp.resize((24 * 272, 24), Image.Resampling.BILINEAR)
    left = round((whole.width - 24) / 2)
    expected = np.asarray(whole.crop((left, 0, left + 24, 24))).astype(int)
    assert abs(cut(ramp, 24, 24).astype(int) - expected).max() <= 1
