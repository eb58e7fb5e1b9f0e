"""Shards give what a folder of the same images gives; what was found in files once is remembered while they stay."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data.files import shards as reading_shards
from nas.data.files.source import FileSource
from nas.data.files.stamp import stamp
from nas.data.folder import imagefolder
from nas.data.images import ImageData
from nas.data.shards import shards

rng = np.random.default_rng(0)
COUNTS = {"train": 8, "val": 3}  # of each of three classes
CLASSES = ("ant", "bee", "cow")


def png(shade: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(rng.integers(0, 80, (20, 24, 3), dtype=np.uint8) + np.uint8(80 * shade)).save(content, "PNG")
    return content.getvalue()


def archive(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The same images as `folder/` and as `tars/`."""
    for part, count in COUNTS.items():
        members: dict[str, bytes] = {}
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "folder" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                content = png(label)
                (folder / f"{i}.png").write_bytes(content)
                members |= {f"{name}/{i}.cls": f"{label}\n".encode(), f"{name}/{i}.png": content}
        names = list(members)
        half = len(names) // 4 * 2
        archive(tmp_path / f"tars/{part}/0.tar", {name: members[name] for name in names[:half]})
        archive(tmp_path / f"tars/{part}/1.tar", {name: members[name] for name in names[half:]})
    (tmp_path / "tars/classes.txt").write_text("\n".join(CLASSES))
    return tmp_path


def same(a: ImageData, b: ImageData) -> None:
    assert (a.num_classes, a.class_names, a.resolution) == (b.num_classes, b.class_names, b.resolution)
    for one, other in zip(
        a.train.batches(5, epoch=2, augment="crop"), b.train.batches(5, epoch=2, augment="crop"), strict=True
    ):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    assert torch.equal(next(a.test.in_order(99))[0], next(b.test.in_order(99))[0])


def test_shards_are_a_folder(images: Path) -> None:
    folder = imagefolder(str(images / "folder"), resolution=16)
    for limit in (100, 0):
        found = shards(str(images / "tars"), resolution=16, memory_limit_mb=limit)
        same(found, folder)
        assert isinstance(found.train.source, FileSource) == (limit == 0)
    flat = images / "flat"
    for part in COUNTS:
        for i in "01":
            flat.mkdir(exist_ok=True)
            os.link(images / f"tars/{part}/{i}.tar", flat / f"set-{part}-{i}.tar")
    assert shards(str(flat), resolution=16).class_names == ("0", "1", "2")


def test_shards_are_told_by_whole_words_of_their_names(images: Path) -> None:
    """`retrieval` holds `val`, `latest` holds `test`."""
    flat = images / "flat"
    flat.mkdir()
    for part, name in (("train", "retrieval-latest-TrainingSet"), ("val", "retrieval-latest-validation")):
        for i in "01":
            os.link(images / f"tars/{part}/{i}.tar", flat / f"{name}-{i}.tar")
    found = shards(str(flat), resolution=16)
    assert (len(found.train), len(found.test)) == tuple(len(CLASSES) * COUNTS[part] for part in ("train", "val"))
    os.link(images / "tars/val/0.tar", flat / "train-and-val.tar")
    with pytest.raises(ValueError, match=r"train-and-val\.tar may be of training or of val by its name"):
        shards(str(flat), resolution=16)


@pytest.mark.parametrize("kind", ["folder", "tars"])
def test_what_was_found_is_remembered_while_the_files_stay(
    kind: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(images / "cache"))
    read = {"folder": imagefolder, "tars": shards}[kind]
    looks: list[str] = []

    def watch(owner: object, name: str) -> None:
        found = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: (looks.append(name), found(*args))[1])

    watch(FileSource, "read")
    watch(FileSource, "_look")
    watch(reading_shards, "_read")

    def load() -> tuple[ImageData, str, list[str]]:
        looks.clear()
        data = read(str(images / kind), resolution=16, memory_limit_mb=0)
        return data, data.train.fingerprint(), sorted(set(looks))

    first, before, seen = load()
    assert seen == (["_look", "_read", "read"] if kind == "tars" else ["_look", "read"])
    again, same_again, seen = load()
    assert not seen and same_again == before
    same(first, again)
    for path in (images / "cache/data").iterdir():
        path.write_text(path.read_text().replace('"mean"', '"meat"').replace('"fingerprint"', '"print"'))
    assert {"_look", "read"} <= set(load()[2]) and load()[1] == before  # what is damaged is found again
    if kind == "folder":
        (images / "folder/train/ant/0.png").write_bytes(png(0))
    else:
        with tarfile.open(images / "tars/train/0.tar", "a") as file:
            content = png(1)
            for name, data in (("zoo.png", content), ("zoo.cls", b"1")):
                about = tarfile.TarInfo(name)
                about.size = len(data)
                file.addfile(about, io.BytesIO(data))
    _, after, seen = load()
    assert after != before and {"_look", "read"} <= set(seen)


def test_a_shard_that_carries_the_time_of_the_one_before_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other labels leave a tar its size, archives that are built reproducibly have one time, and a file that is
    written in place or right after the one before was removed has its inode."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    pictures = [png(i % 2) for i in range(4)]
    path, root = tmp_path / "tars/train/0.tar", str(tmp_path / "tars")

    def write(path: Path, flipped: int) -> None:
        named = {f"{i}.png": picture for i, picture in enumerate(pictures)}
        archive(path, named | {f"{i}.cls": str((i + flipped) % 2).encode() for i in range(4)})
        os.utime(path, (0, 0))

    write(path, 0)
    write(tmp_path / "tars/val/0.tar", 0)
    before = stamp({"root": root})
    assert shards(root, 16).train.labels.tolist() == [0, 1, 0, 1]
    write(path, 1)
    assert shards(root, 16).train.labels.tolist() == [1, 0, 1, 0] and stamp({"root": root}) != before


def test_some_classes(images: Path) -> None:
    whole = imagefolder(str(images / "folder"), resolution=16)
    for read, kind in ((imagefolder, "folder"), (shards, "tars")):
        found = read(str(images / kind), resolution=16, classes=["cow", "ant"])
        assert found.class_names == ("ant", "cow") and len(found.train) == 16 and "2 of 3 classes" in found.notes[-1]
        assert set(found.train.labels.tolist()) == {0, 1}
        drawn = [read(str(images / kind), resolution=16, classes=2, split_seed=seed).class_names for seed in range(9)]
        assert len(set(drawn)) > 1 and drawn[0] == read(str(images / kind), resolution=16, classes=2).class_names
    assert whole.num_classes == 3
    (images / "folder").rename(images / "numbers")
    for part in COUNTS:
        for label, name in enumerate(CLASSES):
            (images / "numbers" / part / name).rename(images / "numbers" / part / str(label))
    assert imagefolder(str(images / "numbers"), resolution=16, classes=[0, 2]).class_names == ("0", "2")
    (images / "numbers").rename(images / "folder")
    for part in COUNTS:
        for label, name in enumerate(CLASSES):
            (images / "folder" / part / str(label)).rename(images / "folder" / part / name)
    for classes, message in (
        (1, "between 2 and 3"),
        (4, "between 2 and 3"),
        (["emu", "ant"], "no class 'emu'"),
        (["ant"], "2 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            imagefolder(str(images / "folder"), classes=classes)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.png": b"1"}, "a.png has no a.cls beside it"),
        ({"a.cls": b"1"}, "holds no image"),
        ({"a.png": b"1", "a.jpg": b"1", "a.cls": b"0"}, "a has two images, a.png and a.jpg"),
        ({"a.png": b"1", "a.cls": b"\xff\xfe"}, "cannot be read"),
        ({"a.png": b"1", "a.cls": b"7"}, "images of class 7 and none of class 3; .* name all classes in"),
        ({"a.png": b"1", "a.cls": b"99999999999999999999"}, "none of class 3"),
    ],
)
def test_shards_that_are_none(members: dict[str, bytes], message: str, images: Path) -> None:
    (images / "tars/classes.txt").unlink()
    archive(images / "tars/train/2.tar", members)
    with pytest.raises(ValueError, match=message):
        shards(str(images / "tars"), resolution=16)


def test_other_faults(images: Path) -> None:
    root = images / "tars"
    (root / "classes.txt").write_text("ant\nbee\n")
    with pytest.raises(ValueError, match="it has 2 different names, and the largest class is 2"):
        shards(str(root))
    (root / "classes.txt").unlink()
    whole = (root / "val/1.tar").read_bytes()
    (root / "val/1.tar").write_bytes(whole[:700])
    with pytest.raises(ValueError, match=r"val/1\.tar.*(cannot be read|no image|has no)"):
        shards(str(root))
    (root / "val/1.tar").unlink()
    (root / "val/0.tar").rename(root / "val/0.tar.gz")
    with pytest.raises(ValueError, match=r"has no test shards .*0\.tar\.gz is compressed: .*unpack it"):
        shards(str(root))
    with pytest.raises(ValueError, match="is not a directory"):
        shards(str(root / "nowhere"))


@pytest.mark.parametrize("memory_limit_mb", [100, 0])
def test_a_class_may_be_named_of_which_there_is_no_image(memory_limit_mb: int, images: Path) -> None:
    (images / "tars/classes.txt").write_text("\n".join((*CLASSES, "dog")))
    found = shards(str(images / "tars"), resolution=16, memory_limit_mb=memory_limit_mb)
    assert found.class_names == (*CLASSES, "dog") and len(found.train) == 24
    assert "no training image of class dog, so no network can learn it" in "\n".join(found.notes)


def test_names_are_in_the_order_of_their_list(images: Path) -> None:
    named = images / "named"
    for part in COUNTS:
        both = [{f"{i}.png": png(i % 2), f"{i}.cls": (b"no", b"yes")[i % 2]} for i in range(6)]
        archive(named / part / "0.tar", {name: content for one in both for name, content in one.items()})
    (named / "classes.txt").write_text("yes\nno\nperhaps\n")
    found = shards(str(named), resolution=16)
    assert found.class_names == ("yes", "no", "perhaps") and found.train.labels.tolist() == [1, 0] * 3
    assert "no training image of class perhaps, so no network can learn it" in "\n".join(found.notes)
    for names, message in (("yes\nnone", "images of 'no', which it does not name"), ("yes\nno\nyes", "one twice")):
        (named / "classes.txt").write_text(names)
        with pytest.raises(ValueError, match=message):
            shards(str(named), resolution=16)


def test_names_as_classes_and_a_damaged_image(images: Path) -> None:
    named = images / "named"
    for part in COUNTS:
        both = [{f"{i}.png": png(i % 2), f"{i}.cls": (b"no", b"yes")[i % 2]} for i in range(6)]
        archive(named / part / "0.tar", {name: content for one in both for name, content in one.items()})
    assert shards(str(named), resolution=16).class_names == ("no", "yes")
    archive(named / "train/1.tar", {"x.png": b"no image at all", "x.cls": b"no"})
    with pytest.raises(ValueError, match=r"image .*train/1\.tar: x\.png cannot be read"):
        shards(str(named), resolution=16)
    found = shards(str(named), resolution=16, skip_unreadable=True, memory_limit_mb=0)
    assert len(found.train) == 6 and "left out: 1" in found.notes[1]
