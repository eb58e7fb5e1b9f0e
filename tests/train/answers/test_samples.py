"""Images beside the answers to them: which are shown, and what of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from nas.data import ImageData
from nas.data.images import in_memory
from nas.train.answers.of_run import write_answers
from nas.train.answers.samples import MOST, picture, samples
from nas.train.answers.stored import read_answers


def data_of(images: Tensor, classes: int) -> ImageData:
    labels = torch.arange(len(images)) % classes
    return in_memory("x", (images, labels), (images, labels), [f"class {k}" for k in range(classes)], 8)


def bytes_of(channels: int, count: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, channels, 8, 8), dtype=torch.uint8, generator=generator)


def shown(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("seed", range(3))
def test_the_surest_wrong_answers_and_one_right_of_a_class(seed: int) -> None:
    split = data_of(bytes_of(1), 6).test
    generator = torch.Generator().manual_seed(seed)
    predicted = torch.randint(6, (60,), generator=generator)
    confidence = torch.rand(60, generator=generator)
    found = samples(split, predicted, confidence)
    wrong, right = found["wrong"], found["right"]
    assert len(wrong) == MOST and all(row["label"] != row["answer"] for row in wrong)
    sure = [row["confidence"] for row in wrong]
    assert sure == sorted(sure, reverse=True)
    others = confidence[predicted != split.labels]
    assert sure[-1] == pytest.approx(float(others.sort(descending=True).values[MOST - 1]), abs=1e-4)
    assert [row["label"] for row in right] == sorted({row["label"] for row in right})
    assert {row["label"] for row in right} == set(split.labels[predicted == split.labels].tolist())
    for row in (*wrong, *right):
        assert row["label"] == int(split.labels[row["row"]]) and row["answer"] == int(predicted[row["row"]])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_the_image_as_it_was_stored(channels: int) -> None:
    """Through normalisation and back; other channels than three are shown by the first."""
    images = bytes_of(channels)
    split = data_of(images, 3).test
    found = samples(split, split.labels, torch.ones(60))["right"]
    for row in found:
        stored = images[row["row"]].permute(1, 2, 0).numpy()
        assert np.array_equal(shown(row["picture"]), stored if channels == 3 else stored[:, :, 0])


def test_large_pictures_become_small_and_numbers_of_any_unit_grey() -> None:
    assert shown(picture(torch.rand(3, 300, 150))).shape == (64, 32, 3)
    assert shown(picture(torch.rand(5, 16, 16))).shape == (16, 16)
    split = data_of(torch.randn(12, 2, 8, 8) * 1e4, 3).test
    pixels = [shown(row["picture"]) for row in samples(split, split.labels, torch.ones(12))["right"]]
    assert all(grey.ndim == 2 and grey.max() - grey.min() > 100 for grey in pixels)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A network that knows one class: its images alone are right."""

    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.answer = nn.Parameter(torch.tensor([0.0, 9.0, 0.0]))

        def forward(self, images: Tensor) -> Tensor:
            return self.answer.expand(len(images), 3)

    data = data_of(bytes_of(1), 3)
    written = write_answers(tmp_path, Stubborn(), data)
    found = read_answers(tmp_path)
    assert found == written and found is not None
    assert found["class_percent"] == {"class 0": 0.0, "class 1": 100.0, "class 2": 0.0}
    assert found["class_images"] == dict.fromkeys(data.class_names, 20)
    assert [row["label"] for row in found["samples"]["right"]] == [1] and len(found["samples"]["wrong"]) == MOST
    assert read_answers(tmp_path / "elsewhere") is None
