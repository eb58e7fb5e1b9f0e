"""From arrays that are no square pictures to exported networks: spectrograms, and series of several channels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import nas
from nas.data.arrays import npz
from nas.data.images import ImageData
from nas.methods.candidates.executors.local import LocalExecutor
from nas.networks import model_folder
from nas.networks.model_card import About
from nas.networks.trained_data import as_trained
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, DepthwiseSeparable, InvertedResidual, Layer, Skip
from search_spaces.families.rexnet.space import rexnet
from search_spaces.families.single_path import single_path
from search_spaces.resolution import Pixels, Size
from search_spaces.space import LayerwiseSpace
from tests.methods.gradient_task import method, task
from tests.test_api import Here

pytestmark = pytest.mark.usefixtures("light_studies")

SHAPE = Size(20, 33)
RECIPE: dict[str, Any] = {"epochs": 2, "warmup_epochs": 0, "batch_size": 32, "augment": "shift"}
EFFORT: dict[str, Any] = {
    **{"fit_networks": 6, "held_out_networks": 4, "rounds": 2, "network_rounds": 2},
    **{"visit_ms": 0.2, "network_visit_ms": 1.0},
}


def small(resolution: Pixels = SHAPE, num_classes: int = 3, in_channels: int = 1) -> LayerwiseSpace:
    blocks: list[Layer] = [InvertedResidual(16, kernel, expand_ratio=e) for kernel in (3, 5) for e in (1, 3)]
    first = [DepthwiseSeparable(16, kernel, 2) for kernel in (3, 5)]
    slots = [[[ConvBNAct(8, 3, 2)]], [first, [*blocks, Skip(16)]], [[ConvBNAct(32)], [Classifier(num_classes)]]]
    return LayerwiseSpace("small", resolution, slots, in_channels)


def chirps(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Decibels of `count` noisy spectrograms (frequency, time): tones that rise (class 0), fall (1) or stay (2)."""
    labels = np.arange(count) % 3
    time, frequency = np.linspace(-0.5, 0.5, SHAPE.width), np.arange(SHAPE.height)[:, None]
    slopes = np.array([1.0, -1.0, 0.0])[labels] * rng.uniform(8, 14, count)
    tones = SHAPE.height / 2 + rng.uniform(-2, 2, count)[:, None] + slopes[:, None] * time
    energy = np.exp(-((frequency - tones[:, None, :]) ** 2) / 2)
    return (10 * np.log10(energy + 0.01 * rng.random(energy.shape) + 1e-4)).astype(np.float32), labels


@pytest.fixture(scope="module")
def spectrograms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    (x_train, y_train), (x_test, y_test) = chirps(240, rng), chirps(60, rng)
    path = tmp_path_factory.mktemp("chirps") / "chirps.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LocalExecutor, "open", lambda self, work: Here().open(work))


def data_of(path: Path, **settings: Any) -> dict[str, Any]:
    return {"card": "npz", "root": str(path), **settings}


@pytest.mark.slow
def test_spectrograms_are_searched_trained_evaluated_and_exported(spectrograms: Path) -> None:
    asked: Any = {"data": data_of(spectrograms), "accelerator": "cpu", "recipe": RECIPE}
    outcome = nas.run_search(
        space=small,
        method="random",
        macs=10**7,
        search={"trials": 2, "batch": 2, "epochs": 1},
        run_dir="found",
        **asked,
    )
    assert outcome.arch.input_shape == (1, 20, 33) and not outcome.missed
    assert Arch.load("found/arch.json") == outcome.arch and outcome.result["macs"] == outcome.arch.macs
    assert json.loads(Path("found/arch.json").read_text())["resolution"] == [20, 33]
    assert "1x20x33" in Path("found/report.html").read_text()

    longer: Any = {**asked, "recipe": {**RECIPE, "epochs": 6}}
    trained = nas.train_arch(outcome.arch, run_dir="trained", **longer)
    assert trained.result["top1_percent"] > 60  # of three classes

    evaluated = nas.evaluate_model("trained/model", data=asked["data"], measure=False, accelerator="cpu").result
    assert evaluated["top1_percent"] == trained.result["top1_percent"]
    assert evaluated["resolution"] == Size(20, 33)
    assert evaluated["preprocessing"]["input_size"] == [1, 20, 33]

    report = nas.export_model("trained/model", output="net.onnx", measure=False, data=asked["data"])
    assert report["input"] == ["batch", 1, 20, 33]
    assert report["real"]["top1_percent"] == trained.result["top1_percent"]
    session = onnxruntime.InferenceSession("net.onnx")
    assert session.get_inputs()[0].shape[1:] == [1, 20, 33]

    model = nas.create_model("trained/model", features_only=True).eval()
    maps = model(torch.zeros(2, 1, 20, 33))
    sides = [outcome.arch.input_shape.strided(info["reduction"]) for info in model.feature_info.info]
    assert [tuple(each.shape[2:]) for each in maps] == sides
    config = json.loads(Path("trained/model/config.json").read_text())["pretrained_cfg"]
    assert config["input_size"] == [1, 20, 33] and config["pool_size"] == list(sides[-1])


def test_the_card_of_arrays_prepares_them_as_training_did(spectrograms: Path) -> None:
    data = npz(str(spectrograms), resolution=[16, 33])
    network = nas.create_model(small(data.resolution, 3).decode([0, 0]))
    card = (model_folder.write("net", network, About(data=data)) / "README.md").read_text()
    assert "Image size: 16 x 33" in card and "arrays (channels, height, width) of float32, resized to 16 x 33" in card
    assert "(in the unit of the arrays)" in card
    code = card.split("```python\n")[1].split("```")[0]
    with np.load(spectrograms) as file:
        np.save("image.npy", file["x_test"][7][None])
    space: dict[str, Any] = {}
    exec(code, space)
    expected = next(iter(data.test.subset(torch.tensor([7])).in_order(1)))[0]
    torch.testing.assert_close(space["image"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("card", ["dnas", "single_path"])
def test_supernets_train_on_spectrograms(card: str, spectrograms: Path, tmp_path: Path) -> None:
    problem, records = task(tmp_path, single_path(SHAPE, 3, 1, width=0.2) if card == "single_path" else small())
    found = method(card, epochs=2).search(dataclasses.replace(problem, data=npz(str(spectrograms), train_limit=96)))
    assert len(records) == 2 and found.inherit is not None
    network = found.inherit((0,) * len(problem.space.variables))
    assert network.arch.input_shape == (1, 20, 33)
    assert network.eval()(torch.zeros(2, 1, 20, 33)).shape == (2, 3)


def test_a_table_of_an_oblong_space_prices_its_networks(tmp_path: Path) -> None:
    space = rexnet([8, 24], 4, 2, widths=(0.2, 0.4), firsts=(8, 16))
    table = nas.build_table(space=space, tables=str(tmp_path), effort=EFFORT)
    assert [path.name[:12] for path in tmp_path.glob("*.json")] == ["rexnet-r8x24"]
    assert {tuple(row.shape)[1:] for row in table.rows_} >= {(8, 24), (4, 12), (2, 6), (1, 3)}
    population = np.array(list(np.ndindex(*space.cardinalities)))
    prices = table.cost(space)(population)
    for genotype, price in zip(population, prices, strict=True):
        assert table.estimate_ms(space.decode(genotype)) == price > 0


def series(path: Path, in_channels: int | None = None, **settings: Any) -> ImageData:
    """Accelerometers: 6 channels, 50 steps, height 1."""
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    x = rng.normal(size=(60, 1, 50, 6)) + labels[:, None, None, None]
    np.savez(path, x_train=x[:45], y_train=labels[:45], x_test=x[45:], y_test=labels[45:])
    return npz(str(path), in_channels=in_channels, **settings)


def test_series_are_images_of_height_1(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"6 channels of 1x50\? Put the channels last, or insist with data.in_channels"
    ):
        series(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="have 6 channels, data.in_channels asks for 5"):
        series(tmp_path / "x.npz", 5)
    data = series(tmp_path / "x.npz", 6)
    assert (data.in_channels, data.resolution, data.input_shape) == (6, Size(1, 50), (6, 1, 50))
    for augment in ("crop", "zoom", "crop_flip_erase", "resized_crop_flip"):
        images, _ = next(data.train.batches(45, augment=augment))
        assert images.shape == (45, 6, 1, 50) and bool(images.isfinite().all())
    trained = nas.train_arch(
        small([1, 50], 3, 6).decode([1, 3]),
        data=data,
        recipe={**RECIPE, "epochs": 1},
        accelerator="cpu",
        run_dir="series",
    )
    assert trained.arch.input_shape == (6, 1, 50)
    assert nas.export_model(trained, output="s.onnx", measure=False)["input"] == ["batch", 6, 1, 50]


def test_numbers_in_a_unit_of_their_own_are_normalised_by_it(spectrograms: Path) -> None:
    data = npz(str(spectrograms))
    assert data.preprocessing.arrays == "float32" and data.resolution == Size(20, 33)
    images = torch.cat([images for images, _ in data.train.in_order(64)])
    assert float(images.mean().abs()) < 1e-4 and float(images.std()) == pytest.approx(1, abs=1e-3)
    with np.load(spectrograms) as file:
        assert float(data.train.mean) == pytest.approx(float(file["x_train"].mean()), rel=1e-5)
    padded, _ = next(data.train.batches(240, augment="crop"))
    corners = padded[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert float((corners.abs() < 1e-4).any(2).float().mean()) > 0.5  # the margin is the mean, not zero decibels


def test_floats_and_bytes_are_not_mistaken_for_each_other(spectrograms: Path, tmp_path: Path) -> None:
    floats = npz(str(spectrograms))
    with np.load(spectrograms) as file:
        stored = {
            key: np.clip(4 * file[key] + 200, 0, 255).astype(np.uint8) if key[0] == "x" else file[key] for key in file
        }
    np.savez("bytes.npz", **stored)
    pictures = npz("bytes.npz")
    assert pictures.preprocessing.arrays is None and pictures.fingerprint != floats.fingerprint
    network = nas.create_model(small().decode([0, 0]))
    of_floats = model_folder.write("floats", network, About(data=floats))
    of_bytes = model_folder.write("pictures", network, About(data=pictures))
    assert model_folder.images_of(of_floats)["arrays"] == "float32" and "arrays" not in model_folder.images_of(of_bytes)
    assert as_trained(floats, of_floats).train.mean == floats.train.mean
    with pytest.raises(
        ValueError, match="was trained on floats in a unit of their own; data bytes holds bytes, of which"
    ):
        as_trained(pictures, of_floats)
    with pytest.raises(
        ValueError, match="was trained on bytes, of which 255 counts as 1; data chirps holds floats in a"
    ):
        as_trained(floats, of_bytes)
    nameless = model_folder.write("unknown", network)  # says nothing of its data
    assert as_trained(floats, nameless).resolution == SHAPE


def test_resolutions_that_are_no_size_are_refused_by_key(spectrograms: Path) -> None:
    for keywords, key in (
        ({"space": {"card": "fbnet", "resolution": [40]}}, "space.resolution"),
        ({"data": data_of(spectrograms, resolution=[40, 101, 3])}, "data.resolution"),
        ({"space": {"card": "fbnet", "resolution": "40x101"}}, "space.resolution"),
    ):
        with pytest.raises(ValueError, match=f"{key} must be a whole number") as refused:
            nas.run_search(**{"data": data_of(spectrograms), "macs": 10**7, **keywords}, run_dir="r")
        assert "\n" not in str(refused.value) and not Path("r").exists()
