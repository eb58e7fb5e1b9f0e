"""A network sees the same images through `nas.evaluate` and through the code of its own model card."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from nas.data.arrays import npz
from nas.data.digits import SPLIT_SEED, TRAIN_FRACTION, digits
from nas.data.folder import imagefolder
from nas.data.images import ImageData, stratified
from nas.data.shards import shards
from nas.data.torchvision import cifar10, cifar100, fashion_mnist
from nas.evaluate import __main__ as evaluate
from nas.export import __main__ as export
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.networks.model_card import About
from nas.networks.trained_data import as_trained, unsaid
from search_spaces.families.fbnet import fbnet
from search_spaces.resolution import Pixels

Sources = tuple[ImageData, list[Image.Image | Path]]  # the data, and its test images as a user has them
rng = np.random.default_rng(3)


def arrays(path: Path, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """An .npz file of smooth random images; returns the test images."""
    coarse = rng.integers(0, 256, (60, 4, 4, *shape[2:]), dtype=np.uint8)
    grown = [np.asarray(Image.fromarray(image).resize((shape[1], shape[0]))) for image in coarse]
    images, labels = np.stack(grown), np.arange(60) % classes
    np.savez(path, x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    return images[40:]


def from_npz(make: Callable[..., ImageData], shape: tuple[int, ...], classes: int, **settings) -> Callable:
    def build(folder: Path) -> Sources:
        path = folder / "data.npz"
        images = arrays(path, shape, classes)
        return make(str(path), **settings), [Image.fromarray(image) for image in images]

    return build


def from_digits(side: int) -> Callable[[Path], Sources]:
    def build(_: Path) -> Sources:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        rows = stratified(bunch.target, TRAIN_FRACTION, SPLIT_SEED)[1]
        images = (bunch.images * (255 / 16)).round().astype(np.uint8)
        return digits(side), [Image.fromarray(images[row]) for row in rows[:20]]

    return build


def from_folder(channels: int, crop_percent: float, streamed: bool, size: Pixels = 32) -> Callable[[Path], Sources]:
    def build(folder: Path) -> Sources:
        for part, count in (("train", 4), ("test", 10)):
            for label in ("b", "a"):
                (folder / part / label).mkdir(parents=True)
                for i in range(count):
                    height, width = (int(side) for side in rng.integers(20, 90, 2))
                    pixels = rng.integers(0, 256, (5, 6, 4), dtype=np.uint8)
                    image = Image.fromarray(pixels).resize((width, height))
                    exif = Image.Exif()
                    exif[0x112] = i % 8 + 1
                    image.save(folder / part / label / f"{i}.png", exif=exif)
        data = imagefolder(
            str(folder), size, channels, crop_percent=crop_percent, memory_limit_mb=0 if streamed else 100
        )
        return data, sorted((folder / "test").rglob("*.png"))

    return build


def from_shards(folder: Path) -> Sources:
    """The images of a folder in tar archives; the files of its test part beside them, in the same order."""
    _, files = from_folder(3, 0.875, False)(folder)
    for part in ("train", "test"):
        with tarfile.open(folder / part / "0.tar", "w") as archive:
            for file in sorted((folder / part).rglob("*.png")):
                name = f"{file.parent.name}/{file.stem}"
                archive.add(file, f"{name}.png")
                about = tarfile.TarInfo(f"{name}.cls")
                about.size = 1
                archive.addfile(about, io.BytesIO(file.parent.name.encode()))
    return shards(str(folder), 32), files


SOURCES = {
    "digits": from_digits(16),
    "digits at another size": from_digits(24),
    "fashion_mnist": from_npz(fashion_mnist, (28, 28), 10),
    "fashion_mnist at another size": from_npz(fashion_mnist, (28, 28), 10, resolution=48),
    "cifar10": from_npz(cifar10, (32, 32, 3), 10),
    "cifar100": from_npz(cifar100, (32, 32, 3), 20),
    "npz, grey, not square": from_npz(npz, (24, 41), 3),
    "npz, colour, resized": from_npz(npz, (40, 28, 3), 3, resolution=36),
    "imagefolder": from_folder(3, 0.875, False),
    "imagefolder, grey": from_folder(1, 0.8, False),
    "imagefolder, streamed, whole": from_folder(3, 1.0, True),
    "imagefolder, not square": from_folder(3, 0.875, False, [24, 40]),
    "imagefolder, not square, streamed": from_folder(1, 0.9, True, [40, 33]),
    "shards": from_shards,
    "npz, not square, resized": from_npz(npz, (20, 30, 3), 3, resolution=[28, 17]),
}


def small(data: ImageData) -> torch.nn.Module:
    space = fbnet(data.resolution, data.num_classes, data.in_channels, width=0.35, head_channels=64)
    torch.manual_seed(0)
    skips = (len(variable) - 1 for variable in space.variables)  # the last candidate of each
    network = create_model(space.decode([0 if i % 4 == 0 else skip for i, skip in enumerate(skips)]))
    with torch.no_grad():  # as if trained: statistics of these images, and classes that differ
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        images, _ = next(data.train.batches(64))
        network(images)
        classifier = network.eval().get_classifier()
        classifier.weight.normal_()
        classifier.bias -= network(images).mean(0)
    return network


@pytest.mark.parametrize("kind", SOURCES)
def test_the_model_cards_code_predicts_what_evaluation_predicts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    data, originals = SOURCES[kind](tmp_path / "data")
    network = small(data)
    model_folder.write(tmp_path / "net", network, About(data=data))
    card = (tmp_path / "net" / "README.md").read_text()
    code = re.findall(r"```python\n(.*?)```", card, re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    with torch.no_grad():
        images = torch.cat([images for images, _ in data.test.in_order(64)])
        evaluated = network(images)
        space: dict = {}
        for row, original in enumerate(originals):
            if isinstance(original, Image.Image):
                original.save("image.png")
            else:
                Path("image.png").write_bytes(original.read_bytes())
            if not space:
                exec(code, space)
            else:  # the model stays the same
                line = next(line for line in code.splitlines() if line.startswith("image = "))
                exec(line, space)
            torch.testing.assert_close(space["image"][0], images[row], rtol=0, atol=1e-5)
            assert int(space["model"](space["image"]).argmax()) == int(evaluated[row].argmax())
    assert len({int(row.argmax()) for row in evaluated}) > 1
    assert space["model"].pretrained_cfg["label_names"] == list(data.class_names)


def test_an_evaluation_on_other_images_normalises_as_in_training(tmp_path: Path) -> None:
    arrays(tmp_path / "data.npz", (20, 20, 3), 3)
    data = npz(str(tmp_path / "data.npz"))
    folder = model_folder.write(tmp_path / "net", small(data), About(data=data))
    arrays(tmp_path / "others.npz", (20, 20, 3), 3)
    others = npz(str(tmp_path / "others.npz"))
    assert not torch.equal(others.test.mean, data.test.mean)
    seen = as_trained(others, folder)
    assert torch.equal(seen.test.mean, data.train.mean) and torch.equal(seen.test.std, data.train.std)
    assert torch.equal(as_trained(data, folder).test.mean, data.test.mean)
    named = npz(str(tmp_path / "data.npz"), class_names=["a", "b", "c"])
    folder = model_folder.write(tmp_path / "named", small(data), About(data=named))
    as_trained(data, folder)  # numbers for names contradict nothing
    with pytest.raises(ValueError, match="output 1 of .* means 'b', class 1 of data data is 'c'; give data with"):
        as_trained(npz(str(tmp_path / "data.npz"), class_names=["a", "c", "b"]), folder)
    numbered = npz(str(tmp_path / "data.npz"), class_names=["0", "2", "1"])  # as folders 0 to 11, sorted by name
    folder = model_folder.write(tmp_path / "numbered", small(data), About(data=numbered))
    as_trained(numbered, folder)
    with pytest.raises(ValueError, match="output 1 of .* means '2', class 1 of data data is '1'"):
        as_trained(data, folder)


def test_a_bare_file_of_weights_says_nothing_of_normalisation_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Published weights too: what timm's own want stands beside it."""
    data = digits()
    folder = model_folder.write(tmp_path / "net", network := small(data), About(data=data))
    assert unsaid("net", str(folder / "model.safetensors"), data, 1e-5) == unsaid("net", None, data, 1e-5) == ""
    bare = model_folder.checkpoint.save_weights(tmp_path / "bare.safetensors", network.state_dict())
    said = unsaid("fbnetc_100", str(bare), data, 1e-5)
    assert "those of digits are by their own mean 0.3049 and deviation 0.3758; timm's own weights of fbnetc" in said
    assert "want mean 0.485, 0.456, 0.406" in said and said.count("an epsilon of 0.001 instead of 1e-05") == 1
    settings = ["data=digits", "measure=false", f"checkpoint={bare}"]
    evaluate.main([f"arch={folder}/arch.json", *settings, "accelerator=cpu", f"run_dir={tmp_path}/run"])
    assert "does not say how its images were normalised" in " ".join(capsys.readouterr().out.split())
    export.main([f"arch={folder}/arch.json", *settings, f"output={tmp_path}/net.onnx"])
    assert "does not say how its images were normalised" in " ".join(capsys.readouterr().out.split())


def test_evaluation_says_which_crop_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, _ = from_folder(3, 0.875, False)(tmp_path / "data")
    folder = model_folder.write(tmp_path / "net", small(data), About(data=data))
    as_trained(imagefolder(str(tmp_path / "data"), 32, crop_percent=1.0), folder)
    out = capsys.readouterr().out
    assert "evaluated with crop_pct 1.0 of the data" in out and "was made with 0.875" in out and "mode" not in out


def test_numbers_in_a_small_unit_leave_a_folder_that_can_be_read(tmp_path: Path) -> None:
    fields, labels = (1e-13 * rng.normal(size=(40, 8, 8))).astype(np.float32), np.arange(40) % 2  # of a brain, in tesla
    np.savez(tmp_path / "data.npz", x_train=fields, y_train=labels, x_test=fields[:20], y_test=labels[:20])
    data = npz(str(tmp_path / "data.npz"))
    folder = model_folder.write(tmp_path / "net", small(data), About(data=data))
    assert torch.equal(as_trained(data, folder).test.std, data.train.std)


def test_a_card_is_valid_whatever_things_are_called(tmp_path: Path) -> None:
    odd = "x: 'y'\n---\n\"z\"| \udcff # [1]"
    arrays(tmp_path / "data.npz", (20, 20), 2)
    data = npz(str(tmp_path / "data.npz"), class_names=['a"b\n# c', "{d}: -"])
    data = ImageData(odd, *(getattr(data, name) for name in ("num_classes", "in_channels", "resolution")), *(
        getattr(data, name) for name in ("class_names", "train", "test")
    ))  # fmt: skip
    folder = model_folder.write(
        tmp_path / 'n"e\nt', small(data), About(data=data, metrics={"device": "a|b\nc"}, origin=f"Trained on {odd}.")
    )
    card = (folder / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["datasets"] == [odd]
    assert "\n---" not in body
    assert "| Device | a\\|b c |" in body
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        compile(block, "card", "exec")
    assert json.loads((folder / "config.json").read_text())["pretrained_cfg"]["label_names"] == list(data.class_names)


def test_evaluate_and_export_use_what_the_model_folder_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays(tmp_path / "data.npz", (20, 20, 3), 3)
    data = npz(str(tmp_path / "data.npz"))
    network = small(data)
    model_folder.write(tmp_path / "net", network, About(data=data))
    images = arrays(tmp_path / "others.npz", (20, 20, 3), 3)
    monkeypatch.chdir(tmp_path)
    settings = ["data=npz", "data.root=others.npz", "measure=false", "accelerator=cpu", "run_dir=run"]
    evaluate.main(["arch=net", *settings])
    found = json.loads(Path("run/metrics.json").read_text())
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        logits = network((pixels - data.train.mean[:, None, None]) / data.train.std[:, None, None])
    right = (logits.argmax(1) == torch.arange(40, 60) % 3).float().mean()
    assert found["top1_percent"] == pytest.approx(100 * float(right))
    assert found["preprocessing"]["mean"] == pytest.approx(data.train.mean.tolist())
    export.main(["arch=net", *settings[:3], "output=net.onnx"])
    report = json.loads(Path("net.onnx.json").read_text())
    assert report["real"]["top1_percent"] == pytest.approx(found["top1_percent"])
    assert report["images"] == data.pretrained_cfg()


def test_every_data_card_is_compared() -> None:
    """But one that needs an extra: its batches are those of a folder (`tests/data/test_huggingface.py`)."""
    cards = {path.stem for path in (Path(__file__).parents[2] / "conf" / "data").glob("*.yaml")}
    assert cards - {"huggingface"} == {re.split("[ ,]", kind)[0] for kind in SOURCES}
