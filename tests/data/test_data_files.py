"""Data from files: what is read, and one readable line for everything that can be wrong with it."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from nas.data.arrays import npz
from nas.data.images import ImageData
from nas.data.torchvision import cifar10, cifar100, fashion_mnist

rng = np.random.default_rng(0)
Arrays = dict[str, np.ndarray]


def arrays(shape: tuple[int, ...], classes: int = 10, train: int = 40, test: int = 20) -> Arrays:
    return {
        "x_train": rng.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.arange(train) % classes,
        "x_test": rng.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.arange(test) % classes,
    }


def first_images(data: ImageData) -> torch.Tensor:
    """The stored bytes of the test split, from a batch."""
    images, _ = next(data.test.in_order(5))
    return (255 * (images * data.test.std[:, None, None] + data.test.mean[:, None, None])).round()


# -- npz


def test_fashion_npz_is_padded_to_32(tmp_path: Path) -> None:
    made = arrays((28, 28))
    np.savez(tmp_path / "f.npz", **made)
    data = fashion_mnist(str(tmp_path / "f.npz"))
    assert (data.name, data.num_classes, data.in_channels, data.resolution) == ("fashion_mnist", 10, 1, 32)
    images = first_images(data)
    assert torch.equal(images[:, 0, 2:30, 2:30], torch.from_numpy(made["x_test"][:5]).float())
    assert float(images[:, :, :2].abs().max()) == 0
    assert data.class_names[9] == "ankle boot"
    assert fashion_mnist(str(tmp_path / "f.npz"), resolution=16).resolution == 16


def test_cifar_npz_and_jpeg_npz(tmp_path: Path) -> None:
    made = arrays((32, 32, 3))
    np.savez(tmp_path / "c.npz", **made)
    data = cifar10(str(tmp_path / "c.npz"), train_limit=20)
    assert (data.in_channels, data.resolution, len(data.train), len(data.test)) == (3, 32, 20, 20)
    assert torch.equal(first_images(data), torch.from_numpy(made["x_test"][:5]).permute(0, 3, 1, 2).float())
    jpeg, decoded = jpeg_arrays(made)
    np.savez(tmp_path / "j.npz", **jpeg)
    assert torch.equal(first_images(cifar10(str(tmp_path / "j.npz"))), decoded.permute(0, 3, 1, 2).float())


def jpeg_arrays(made: Arrays) -> tuple[Arrays, torch.Tensor]:
    """`made` as JPEG streams with their common beginning stored once, and the first five test images decoded."""
    found: Arrays = {"y_train": made["y_train"], "y_test": made["y_test"]}
    streams: dict[str, list[bytes]] = {}
    for part in ("train", "test"):
        streams[part] = []
        for image in made[f"x_{part}"]:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG")
            streams[part].append(buffer.getvalue())
    common = 600
    assert len({stream[:common] for part in streams.values() for stream in part}) == 1
    found["jpeg_header"] = np.frombuffer(streams["train"][0][:common], np.uint8)
    for part, all_streams in streams.items():
        bodies = [stream[common:] for stream in all_streams]
        found[f"{part}_body"] = np.frombuffer(b"".join(bodies), np.uint8)
        found[f"{part}_offset"] = np.cumsum([0, *map(len, bodies)])
    decoded = [np.asarray(Image.open(io.BytesIO(stream))) for stream in streams["test"][:5]]
    return found, torch.from_numpy(np.stack(decoded))


def test_any_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays((9, 9), classes=3))
    data = npz(str(tmp_path / "mine.npz"))
    assert (data.name, data.num_classes, data.resolution) == ("mine", 3, 9)
    assert npz(str(tmp_path / "mine.npz"), class_names=["a", "b", "c"]).class_names == ("a", "b", "c")


@pytest.mark.parametrize("largest", [50_000, 10**9])
def test_labels_with_gaps_make_no_classes(largest: int, tmp_path: Path) -> None:
    made = arrays((9, 9), classes=3)
    made["y_train"][5] = largest
    np.savez(tmp_path / "mine.npz", **made)
    message = rf"4 different numbers up to {largest:,} without 3; .*insist with data.num_classes={largest + 1}"
    with pytest.raises(ValueError, match=message):
        npz(str(tmp_path / "mine.npz"))
    if largest < 10**6:
        assert npz(str(tmp_path / "mine.npz"), num_classes=largest + 1).num_classes == largest + 1
    else:
        with pytest.raises(ValueError, match="data.num_classes must be 2 to 1,000,000"):
            npz(str(tmp_path / "mine.npz"), num_classes=largest + 1)
    with pytest.raises(ValueError, match="data.num_classes=3, but data.class_names has 2"):
        npz(str(tmp_path / "mine.npz"), num_classes=3, class_names=["a", "b"])


def without(key: str) -> Callable[[Arrays], None]:
    return lambda made: made.__delitem__(key)


def changed(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], None]:
    def apply(made: Arrays) -> None:
        made[key] = change(made[key])

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("y_test"), "has no array 'y_test'; expected x_train, y_train, x_test, y_test"),
        (
            changed("x_train", lambda x: x.astype(np.int16)),
            r"train: images must be uint8 \(0 to 255\) or floats, got int16",
        ),
        (changed("x_train", lambda x: x.astype(np.float32)), "x_train is float32, x_test uint8"),
        (
            changed("x_train", lambda x: np.where(x > 9, x, np.float32(np.nan))),
            "train: images must be finite numbers; replace NaN",
        ),
        (changed("x_train", lambda x: x[:, :30]), r"are \(3, 32, 32\) \(C, H, W\)|training images are"),
        (
            changed("x_test", lambda x: x[..., :2]),
            r"training images are \(3, 32, 32\) \(C, H, W\), test images \(2, 32, 32\)",
        ),
        (changed("x_train", lambda x: x[0]), r"must be \(N, H, W\) or \(N, H, W, C\)|as many whole-number labels"),
        (
            changed("x_train", lambda x: x.transpose(0, 3, 1, 2)),
            r"got \(40, 3, 32, 32\): 32 channels of 3x32\? Put the channels last, or insist with data.in_channels=32",
        ),
        (changed("y_train", lambda y: y[:-1]), "40 images need as many whole-number labels"),
        (changed("y_train", lambda y: y.astype(float)), "need as many whole-number labels, got float64"),
        (changed("y_test", lambda y: y + 1), "test labels: label 10 is out of range; 10 classes have labels 0..9"),
        (changed("y_train", lambda y: y * 0), "all images are of class 0; a classifier needs at least 2 classes"),
        (changed("x_test", lambda x: x.astype(object)), "not a readable .npz file .*: it holds objects, not numbers"),
    ],
)
def test_refused_npz(spoil: Callable[[Arrays], None], message: str, tmp_path: Path) -> None:
    made = arrays((32, 32, 3))
    spoil(made)
    np.savez(tmp_path / "c.npz", **made)
    with pytest.raises(ValueError, match=message):
        cifar10(str(tmp_path / "c.npz"))


def test_refused_npz_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no data file at .*c.npz; give data.root=<file.npz>"):
        cifar10(str(tmp_path / "c.npz"))
    np.savez(tmp_path / "c.npz", **arrays((32, 32, 3)))
    data = (tmp_path / "c.npz").read_bytes()
    for share in (0.0, 0.5, 0.999):
        (tmp_path / "c.npz").write_bytes(data[: int(share * len(data))])
        with pytest.raises(ValueError, match=r"c.npz is not a readable .npz file \(truncated\?\)"):
            cifar10(str(tmp_path / "c.npz"))
    for _ in range(100):  # zip files with other versions, methods, flags; arrays with other headers
        damaged = bytearray(data)
        for place in (rng.integers(0, 300), -rng.integers(1, 400), rng.integers(0, 300)):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "c.npz").write_bytes(damaged)
        try:
            cifar10(str(tmp_path / "c.npz"))
        except ValueError as error:
            assert "\n" not in str(error) and "c.npz" in str(error)
    np.savez(tmp_path / "f.npz", **arrays((28, 28)))
    with pytest.raises(ValueError, match=r"images of CIFAR10 are \(3, 32, 32\) .* got \(1, 28, 28\); .*data=npz"):
        cifar10(str(tmp_path / "f.npz"))


def test_refused_jpegs(tmp_path: Path) -> None:
    jpeg, _ = jpeg_arrays(arrays((32, 32, 3)))
    body = jpeg["test_body"].copy()
    body[jpeg["test_offset"][3] :] = 0
    np.savez(tmp_path / "j.npz", **{**jpeg, "test_body": body[:-5]})
    with pytest.raises(ValueError, match=r"test: the offsets do not cut \d+ bytes into JPEG images"):
        cifar10(str(tmp_path / "j.npz"))
    header = np.zeros_like(jpeg["jpeg_header"])
    np.savez(tmp_path / "j.npz", **{**jpeg, "jpeg_header": header})
    with pytest.raises(ValueError, match="train: image 0 cannot be decoded"):
        cifar10(str(tmp_path / "j.npz"))


# -- torchvision's folders


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def test_fashion_folder(tmp_path: Path) -> None:
    made = arrays((28, 28))
    raw = tmp_path / "FashionMNIST" / "raw"
    for part, name in (("train", "train"), ("test", "t10k")):
        write_idx(raw / f"{name}-images-idx3-ubyte", made[f"x_{part}"])
        write_idx(raw / f"{name}-labels-idx1-ubyte", made[f"y_{part}"])
    data = fashion_mnist(str(tmp_path))
    assert torch.equal(first_images(data)[:, 0, 2:30, 2:30], torch.from_numpy(made["x_test"][:5]).float())
    file = raw / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"holds no complete FashionMNIST \(.*\); on a machine with a network"):
        fashion_mnist(str(tmp_path))


def test_cifar_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    made = arrays((32, 32, 3), train=50)
    rows = {part: made[f"x_{part}"].transpose(0, 3, 1, 2).reshape(-1, 3072) for part in ("train", "test")}
    for i in range(5):
        content = {
            "data": rows["train"][i * 10 : i * 10 + 10],
            "labels": made["y_train"][i * 10 : i * 10 + 10].tolist(),
        }
        (folder / f"data_batch_{i + 1}").write_bytes(pickle.dumps(content))
    (folder / "test_batch").write_bytes(pickle.dumps({"data": rows["test"], "labels": made["y_test"].tolist()}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    with pytest.raises(ValueError, match=r"holds no complete CIFAR10; .*download=True"):  # the checksums are others
        cifar10(str(tmp_path))
    monkeypatch.setattr(datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    assert torch.equal(
        first_images(cifar10(str(tmp_path))), torch.from_numpy(made["x_test"][:5]).permute(0, 3, 1, 2).float()
    )


@pytest.mark.parametrize("make", [fashion_mnist, cifar10, cifar100])
def test_missing_folders_say_how_to_get_the_data(make: Callable[[str], ImageData], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data.root=.*none is not a directory; on a machine with a network.*download=True"
    ):
        make(str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"holds no complete \w+; .*or give an .npz file as data.root"):
        make(str(tmp_path))


def test_npz_test_images_that_are_training_images_are_counted(tmp_path: Path) -> None:
    made = arrays((9, 9), classes=3)
    made["x_test"][:4] = made["x_train"][7]
    np.savez(tmp_path / "mine.npz", **made)
    assert npz(str(tmp_path / "mine.npz")).notes == (
        "mine: 4 of 20 test images are training images too: figures on them are too high",
    )


def test_classes_without_images_are_said_and_those_with_one_are_not_divided(tmp_path: Path) -> None:
    made = arrays((9, 9), classes=3)
    made["y_train"][made["y_train"] == 2] = 0
    made["y_train"][0] = 2
    made["y_test"][made["y_test"] == 1] = 0
    np.savez(tmp_path / "mine.npz", **made)
    data = npz(str(tmp_path / "mine.npz"), class_names=["ant", "bee", "cow", "dog"])
    assert data.notes == (
        "mine: no training image of class dog, so no network can learn it",
        "mine: no test image of class bee, dog, so test accuracy says nothing about it",
    )
    with pytest.raises(ValueError, match=r"mine has 1 training image of class cow, and a search holds out some"):
        data.check_division()
    with pytest.raises(ValueError, match=r"class 'cow' has 1 image; a split needs at least 2 .* leave the class out"):
        data.held_out(0.8, 0)
    with pytest.raises(ValueError, match=r"training images: class 'cow' has 1 image"):
        npz(str(tmp_path / "mine.npz"), class_names=["ant", "bee", "cow", "dog"], train_limit=10)


def test_gzip_left_over_is_not_mistaken_for_an_npz(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.npz", "wb") as file:
        file.write(b"x" * 100)
    with pytest.raises(ValueError, match=r"a.npz is not a readable .npz file"):
        npz(str(tmp_path / "a.npz"))


def test_a_folder_that_holds_one_npz_file_is_answered_with_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "fashion.npz", x_train=np.zeros((2, 28, 28), np.uint8))
    with pytest.raises(ValueError, match=r"for the file in it: data\.root=.*fashion\.npz$"):
        fashion_mnist(str(tmp_path))
