"""The same on a CUDA device: batches, a training in bfloat16, resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from nas.data import ImageData
from nas.data.split import Place
from nas.train.accelerator import make_accelerator
from nas.train.training import Options, build_network, train
from search_spaces.arch import Arch
from search_spaces.recipe import Recipe

RECIPE = Recipe(epochs=6, batch_size=16, lr=0.01, optimizer="adamw", augment="crop_flip_erase", ema_decay=0.9)

pytestmark = pytest.mark.gpu


def test_batches_equal_those_of_the_cpu(data: ImageData) -> None:
    for augment in ("none", "crop_flip_erase", "resized_crop_flip"):
        host = data.train.batches(64, seed=1, epoch=2, augment=augment)
        device = data.train.batches(64, seed=1, epoch=2, augment=augment, place=Place("cuda"))
        for (a, la), (b, lb) in zip(host, device, strict=True):
            assert b.device.type == lb.device.type == "cuda"
            torch.testing.assert_close(a, b.cpu(), rtol=1e-4, atol=1e-4)
            assert torch.equal(la, lb.cpu())


def test_training_in_bfloat16(arch: Arch, data: ImageData, tmp_path: Path) -> None:
    accelerator = make_accelerator("cuda", "bf16")
    recipe = dataclasses.replace(RECIPE, augment="none", zero_init_residual=True)
    network = build_network(arch, recipe)
    figures = train(network, data, recipe, accelerator=accelerator, options=Options(tmp_path / "a.pt"))
    assert figures["top1_percent"] > 50
    assert next(network.parameters()).dtype == torch.float32
    again = build_network(arch, recipe, seed=3)
    found = train(again, data, recipe, accelerator=accelerator, options=Options(tmp_path / "a.pt"))
    assert found["top1_percent"] == pytest.approx(figures["top1_percent"], abs=0.5)
