"""Augmentation of batches against what each policy promises, image by image."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.auto_augment import rand_augment_transform

from nas.data.augment import AUGMENTS, Augment, apply, crop_windows, draw
from search_spaces.augment import RAND

SIDE, COUNT = 16, 200


@pytest.fixture()
def images() -> torch.Tensor:
    stream = torch.Generator().manual_seed(1)
    return torch.randint(1, 256, (COUNT, 3, SIDE, SIDE), dtype=torch.uint8, generator=stream)


@pytest.fixture()
def u() -> torch.Tensor:
    return draw(COUNT, torch.Generator().manual_seed(2))


FILL = torch.zeros(3)


@pytest.mark.parametrize("name", AUGMENTS)
@pytest.mark.parametrize("stored", [SIDE, SIDE + 4])
def test_shape_and_range(name: str, stored: int, u: torch.Tensor) -> None:
    bigger = torch.randint(0, 256, (COUNT, 1, stored, stored), dtype=torch.uint8)
    out = apply(AUGMENTS[name], bigger, u, SIDE, torch.zeros(1))
    assert out.shape == (COUNT, 1, SIDE, SIDE)
    assert float(out.min()) >= 0
    assert float(out.max()) <= 255
    assert torch.equal(out, apply(AUGMENTS[name], bigger, u, SIDE, torch.zeros(1)))


@pytest.mark.parametrize("name", AUGMENTS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("height", "width"), [(5, 12), (1, 20), (12, 5)])
def test_images_that_are_not_square(name: str, dtype: torch.dtype, height: int, width: int, u: torch.Tensor) -> None:
    stored = torch.randint(0, 256, (COUNT, 2, height + 1, width + 3), dtype=torch.uint8).to(dtype)
    if AUGMENTS[name].rand:
        with pytest.raises(ValueError, match="these images are floats" if dtype.is_floating_point else "these have 2"):
            apply(AUGMENTS[name], stored, u, [height, width], FILL[:2])
        return
    for images in (stored, stored[:, :, :height, :width]):
        out = apply(AUGMENTS[name], images, u, [height, width], torch.tensor([300.0, -7.0]))
        assert out.shape == (COUNT, 2, height, width)
        assert out.dtype in (dtype, torch.float32)


def test_margins_follow_each_side(u: torch.Tensor) -> None:
    images = torch.randint(1, 256, (COUNT, 1, 8, 24), dtype=torch.uint8)
    out = apply(Augment(pad=1 / 8), images, u, [8, 24], FILL[:1])
    padded = torch.nn.functional.pad(images, (3, 3, 1, 1))
    for i in range(COUNT):
        top, left = int(u[i, 0] * 3), int(u[i, 1] * 7)
        assert torch.equal(out[i], padded[i, :, top : top + 8, left : left + 24])
    numbers = apply(Augment(pad=1 / 8), images.float(), u, [8, 24], torch.tensor([-5.0]))
    assert torch.equal(numbers, torch.where(out == 0, torch.tensor(-5.0), out.float()))  # bytes are >= 1


def test_erased_parts_are_half_of_each_side(u: torch.Tensor) -> None:
    images = torch.ones(COUNT, 1, 8, 24)
    erased = apply(Augment(erase=1.0), images, u, [8, 24], FILL[:1]) == 0
    inside = ((u[:, 3] - 0.5).abs() < 0.2) & ((u[:, 4] - 0.5).abs() < 0.2)
    assert inside.any() and set(erased.flatten(1).sum(1)[inside].tolist()) == {4 * 12}
    assert (apply(Augment(erase=1.0), images[:, :, :1], u, [1, 24], FILL[:1]) == 0).flatten(1).any(1).all()


def test_none_changes_nothing_and_takes_the_centre(images: torch.Tensor, u: torch.Tensor) -> None:
    assert apply(AUGMENTS["none"], images, u, SIDE, FILL) is images
    assert torch.equal(apply(AUGMENTS["none"], images, u, 12, FILL), images[:, :, 2:14, 2:14])


def test_crop_is_the_loop_over_images(images: torch.Tensor, u: torch.Tensor) -> None:
    out = apply(Augment(pad=1 / 8), images, u, SIDE, FILL)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    seen = set()
    for i in range(COUNT):
        top, left = int(u[i, 0] * 5), int(u[i, 1] * 5)
        seen.add((top, left))
        assert torch.equal(out[i], padded[i, :, top : top + SIDE, left : left + SIDE])
    assert len(seen) == 25  # every offset occurs


def test_crop_windows_of_a_stored_margin() -> None:
    images = torch.arange(2 * 36).reshape(2, 1, 6, 6)
    out = crop_windows(images, torch.tensor([0, 2]), torch.tensor([1, 0]), 4)
    assert torch.equal(out[0, 0], images[0, 0, 0:4, 1:5])
    assert torch.equal(out[1, 0], images[1, 0, 2:6, 0:4])


def test_flip_mirrors_about_half(images: torch.Tensor, u: torch.Tensor) -> None:
    out = apply(Augment(flip=True), images, u, SIDE, FILL)
    mirrored = [torch.equal(out[i], images[i].flip(2)) for i in range(COUNT)]
    kept = [torch.equal(out[i], images[i]) for i in range(COUNT)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 80 <= sum(mirrored) <= 120


def test_erase_fills_a_square_with_the_mean(images: torch.Tensor, u: torch.Tensor) -> None:
    fill = torch.tensor([0.0, 7.5, 300.0])
    out = apply(Augment(erase=0.5), images, u, SIDE, fill)
    erased = (out == fill[:, None, None]).all(1)
    assert torch.equal(torch.where(erased[:, None], images.float(), out), images.float())
    counts = erased.flatten(1).sum(1)
    assert 80 <= int((counts > 0).sum()) <= 120
    assert int(counts.max()) == (SIDE // 2) ** 2
    rows, columns = erased.any(2).sum(1), erased.any(1).sum(1)
    assert torch.equal(counts, rows * columns)  # a rectangle


def test_resized_crop_keeps_a_constant_and_the_whole(images: torch.Tensor, u: torch.Tensor) -> None:
    constant = torch.full((COUNT, 1, SIDE, SIDE), 93, dtype=torch.uint8)
    out = apply(AUGMENTS["resized_crop_flip"], constant, u, SIDE, torch.zeros(1))
    torch.testing.assert_close(out, torch.full_like(out, 93))
    u = u.clone()
    u[:, 1] = 0.5  # aspect ratio 1
    whole = apply(Augment(resized_crop=(1.0, 1.0)), images, u, SIDE, FILL)
    torch.testing.assert_close(whole, images.float(), rtol=0, atol=0.02)


@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_is_timms_and_belongs_to_the_image(channels: int, images: torch.Tensor, u: torch.Tensor) -> None:
    """The very pixels of timm's transform under the image's seed; the process's own streams stay where they were."""
    images, fill = images[:40, :channels], torch.tensor([10.0, 20.0, 30.0])[:channels]
    np.random.seed(5)
    random.seed(5)
    before = (np.random.get_state()[2], random.getstate())
    out = apply(Augment(rand=RAND), images, u[:40], SIDE, fill)
    assert (np.random.get_state()[2], random.getstate()) == before
    theirs = rand_augment_transform(RAND, {"img_mean": (10, 20, 30) if channels == 3 else 10})
    for i in range(40):
        seed = int.from_bytes(hashlib.sha256(u[i].numpy().tobytes()).digest()[:4], "big")
        random.seed(seed)
        np.random.seed(seed)
        picture = Image.fromarray(
            images[i].permute(1, 2, 0).squeeze(2).numpy() if channels == 1 else images[i].permute(1, 2, 0).numpy()
        )
        expected = torch.from_numpy(np.array(theirs(picture))).view(SIDE, SIDE, channels).permute(2, 0, 1)
        assert torch.equal(out[i], expected)
    changed = (out != images).flatten(1).any(1).float().mean()
    assert 0.5 < float(changed) < 0.95  # none of two operations with probability 1/4, and some do nothing
    part = apply(Augment(rand=RAND), images[7:9], u[7:9], SIDE, fill)
    assert torch.equal(part, out[7:9])
