"""A user's own folder of images: what is read, what is left out and said, what is refused."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.files.source import FileSource
from nas.data.files.stamp import stamp
from nas.data.folder import imagefolder
from nas.data.images import ImageData
from nas.data.split import MemorySource, Place

rng = np.random.default_rng(0)


def write_images(root: Path, names: dict[str, int], size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    for label, (name, count) in enumerate(names.items()):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) // 4 + 60 * label
            Image.fromarray(pixels).convert(mode).save(root / name / f"{i}.png")


def test_one_folder_is_split_by_seed(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 20, "dog": 10})
    (tmp_path / ".hidden").mkdir()
    data = imagefolder(str(tmp_path), resolution=14, test_fraction=0.2)
    assert (data.num_classes, data.in_channels, data.resolution, data.class_names) == (2, 3, 14, ("cat", "dog"))
    assert (data.train.labels.bincount().tolist(), data.test.labels.bincount().tolist()) == ([16, 8], [4, 2])
    images, labels = next(data.train.batches(8, augment="resized_crop_flip", seed=1))
    assert images.shape == (8, 3, 14, 14)
    assert float(images[labels == 1].mean()) > float(images[labels == 0].mean())
    other = imagefolder(str(tmp_path), resolution=14, split_seed=1)
    assert not torch.equal(next(other.test.in_order(6))[0], next(data.test.in_order(6))[0])


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_folders(held_out: str, tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 5, "b": 4})
    write_images(tmp_path / held_out, {"a": 2, "b": 3}, mode="L")
    data = imagefolder(str(tmp_path), resolution=16, in_channels=1)
    assert (len(data.train), len(data.test), data.in_channels) == (9, 5, 1)


def test_names_of_classes_are_compared_as_texts(tmp_path: Path) -> None:
    """Some systems write an accent as one sign, others as two: the folders look the same."""
    one, two = "caf\u00e9", "cafe\u0301"
    write_images(tmp_path / "train", {one: 5, "b": 4})
    write_images(tmp_path / "val", {two: 2, "b": 3})
    data = imagefolder(str(tmp_path), resolution=16, classes=["b", two])
    assert data.class_names == ("b", one) and sorted(data.test.labels.tolist()) == [0, 0, 0, 1, 1]


def test_images_are_cut_like_pillow_would(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 4, "b": 4}, size=(50, 30))
    data = imagefolder(str(tmp_path), resolution=21, crop_percent=0.875)
    source = data.train.source
    assert isinstance(source, MemorySource)
    assert source.images.shape == (8, 3, 24, 24)
    with Image.open(tmp_path / "a" / "0.png") as image:
        expected = np.asarray(image.resize((40, 24), Image.Resampling.BILINEAR).crop((8, 0, 32, 24)))
    stored = {image.permute(1, 2, 0).numpy().tobytes() for image in source.images}
    assert expected.tobytes() in stored


@pytest.mark.parametrize("augment", ["none", "crop_flip_erase"])
def test_streamed_and_stored_images_give_the_same_batches(augment: str, tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 23, "b": 20})
    stored = imagefolder(str(tmp_path), resolution=16)
    streamed = imagefolder(str(tmp_path), resolution=16, memory_limit_mb=0, workers=3)
    assert isinstance(streamed.train.source, FileSource)
    for a, b in zip(
        stored.train.batches(8, epoch=3, augment=augment),
        streamed.train.batches(8, epoch=3, augment=augment),
        strict=True,
    ):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])
    half = streamed.train.batches(8)
    next(half)
    half.close()  # an epoch may be left early
    searched = streamed.held_out(0.8, 0)
    assert len(next(searched.test.batches(4))[0]) == 4


@pytest.mark.parametrize("memory_limit_mb", [100, 0])
def test_a_process_may_have_no_image_of_the_last_batch(memory_limit_mb: int, tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 3, "b": 3})
    write_images(tmp_path / "test", {"a": 3, "b": 2})
    data = imagefolder(str(tmp_path), resolution=16, memory_limit_mb=memory_limit_mb)
    shapes = [tuple(images.shape) for images, _ in data.test.in_order(4, Place("cpu", 1, 2))]
    assert shapes == [(2, 3, 16, 16), (0, 3, 16, 16)]


def test_refused_folders(tmp_path: Path) -> None:
    def refused(message: str, **options) -> None:
        with pytest.raises(ValueError, match=message):
            imagefolder(str(tmp_path), **{"resolution": 16, **options})

    refused("at least 2 classes; it has no folder with images")
    write_images(tmp_path, {"a": 4})
    refused("needs one folder of images per class and at least 2 classes; it has images of 'a' only")
    write_images(tmp_path, {"c": 1})
    refused("class 'c' has 1 image; a split needs at least 2 of each class: add images of it, or leave the class out")
    write_images(tmp_path, {"Test": 2})
    refused("has a folder 'Test' but none called train: is it a split or a class")
    write_images(tmp_path / "train", {"a": 2, "b": 2})
    refused("has a folder train but neither test nor val nor valid")
    write_images(tmp_path / "val", {"a": 2, "c": 2})
    refused(r"val has images of 'c', .*train has none \(its classes: a, b\)")
    for options, message in (
        ({"crop_percent": 0.0}, "data.crop_percent must be greater than 0 and at most 1, got 0"),
        ({"in_channels": 2}, "data.in_channels must be 1 or 3, got 2"),
        ({"workers": 0}, "data.workers must be >= 1"),
        ({"resolution": 0}, r"data.resolution must be a whole number >= 1, or \[height, width\]"),
    ):
        refused(message, **options)
    with pytest.raises(ValueError, match=r"data.root=.*none is not a directory; give one that holds train"):
        imagefolder(str(tmp_path / "none"))


@pytest.mark.parametrize("memory_limit_mb", [100, 0])
def test_all_broken_images_are_named_at_once_or_left_out(memory_limit_mb: int, tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 7, "b": 7})
    whole = (tmp_path / "b" / "3.png").read_bytes()
    for name, content in (("a/1", b""), ("a/5", b"no image"), ("b/3", whole[:200])):
        (tmp_path / f"{name}.png").write_bytes(content)
    (tmp_path / "b" / "6.png").unlink()
    os.mkfifo(tmp_path / "b" / "6.png")
    with pytest.raises(ValueError, match="^4 images cannot be read: ") as caught:
        data = imagefolder(str(tmp_path), resolution=16, memory_limit_mb=memory_limit_mb)
        list(data.train.batches(4))
    assert all(name in str(caught.value) for name in ("a/1.png", "a/5.png", "b/3.png", "b/6.png"))
    assert all(f"{name}.png (" in str(caught.value) for name in ("a/1", "a/5", "b/3", "b/6"))
    assert "\n" not in str(caught.value) and "data.skip_unreadable=true" in str(caught.value)
    data = imagefolder(str(tmp_path), resolution=16, memory_limit_mb=memory_limit_mb, skip_unreadable=True)
    assert len(data.train) + len(data.test) == 10 == len(all_images(data))
    assert any(note.startswith("images that cannot be read and are left out: 4; ") for note in data.notes)


def all_images(data: ImageData) -> torch.Tensor:
    return torch.cat([images for split in (data.train, data.test) for images, _ in split.in_order(64)])


def test_what_is_left_out_of_a_folder_is_said(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 6, "b": 6, "c": 4})
    write_images(tmp_path / "test", {"a": 2, "b": 3})
    write_images(tmp_path / "val", {"a": 1, "b": 1})
    write_images(tmp_path / "train" / "a", {".ipynb_checkpoints": 3, "more": 2})
    write_images(tmp_path / "train", {".hidden": 3})
    (tmp_path / "train" / "empty").mkdir()
    shutil.copy(tmp_path / "train" / "a" / "0.png", tmp_path / "train" / "loose.PNG")
    (tmp_path / "train" / "a" / "notes.txt").write_text("")
    Image.new("P", (20, 20), 3).save(tmp_path / "train" / "b" / "7.gif")
    data = imagefolder(str(tmp_path), resolution=16)
    assert data.class_names == ("a", "b", "c")
    assert data.train.labels.bincount().tolist() == [8, 7, 4]
    said = "\n".join(data.notes)
    for part in ("image's, 1: ", "notes.txt", "without images, which are no classes: empty", "val is not used"):
        assert part in said
    assert f"images in {tmp_path / 'train'} that are in no folder of a class, 1: loose.PNG" in said
    assert "no test image of class c, so test accuracy says nothing about it" in said
    assert len(imagefolder(str(tmp_path), resolution=16, train_limit=9).train) == 9
    (tmp_path / "validation").mkdir()  # empty: the next is taken
    for old, new in (("test", "t"), ("val", "valid")):
        (tmp_path / old).rename(tmp_path / new)
    assert len(imagefolder(str(tmp_path), resolution=16).test) == 2


@pytest.mark.parametrize("memory_limit_mb", [100, 0])
def test_images_of_both_splits_are_counted_and_loops_refused(memory_limit_mb: int, tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 6, "b": 6})
    write_images(tmp_path / "val", {"a": 2, "b": 3})
    shutil.copy(tmp_path / "train" / "b" / "4.png", tmp_path / "val" / "b" / "copy.png")
    (note,) = imagefolder(str(tmp_path), resolution=16, memory_limit_mb=memory_limit_mb).notes
    assert re.match(r"1 of 6 test images are training images too: .*val.b.copy.png is .*train.b.4.png", note)
    (tmp_path / "train" / "a" / "up").symlink_to(tmp_path / "train")
    with pytest.raises(ValueError, match=r"train.a.up is a link to .*train, whose images would be read twice"):
        imagefolder(str(tmp_path), resolution=16)


@pytest.mark.parametrize("memory_limit_mb", [100, 0])
def test_replaced_images_are_another_data_set(memory_limit_mb: int, tmp_path: Path) -> None:
    write_images(tmp_path / "data", {"a": 6, "b": 6}, size=(200, 80))
    for path in sorted((tmp_path / "data").rglob("*.png")):
        with Image.open(path) as image:
            image.save(path.with_suffix(".bmp"))  # 48 KiB, uncompressed
        path.unlink()

    def found(root: str = "data") -> tuple[str, str]:
        data = imagefolder(str(tmp_path / root), resolution=16, memory_limit_mb=memory_limit_mb)
        return data.fingerprint, stamp({"root": str(tmp_path / root)})

    known = found()
    assert found() == known
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    assert found("moved")[0] == known[0]
    path = tmp_path / "data" / "b" / "3.bmp"
    content = path.read_bytes()
    size = len(content)
    few = [(100, 700), (size // 2 + 10, size // 2 + 700), (size - 50, size - 10)]
    for start, stop in few if memory_limit_mb == 0 else [(54, size)]:  # the size stays
        path.write_bytes(content[:start] + bytes(255 - x for x in content[start:stop]) + content[stop:])
        os.utime(path, (1, start))
        changed = found()
        assert changed[0] != known[0] and changed[1] != known[1]


def test_a_stamp_follows_no_loop(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "nowhere").symlink_to(tmp_path / "none")
    known = stamp({"root": str(tmp_path)})
    (tmp_path / "b" / "1.png").unlink()
    assert known != stamp({"root": str(tmp_path)}) != stamp({"root": str(tmp_path / "a")})
    assert stamp({}) == ""
