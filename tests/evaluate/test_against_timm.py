"""Accuracies are those of timm's own transforms, loader and meters, on the same weights and image files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from nas.data.folder import imagefolder
from nas.evaluate.__main__ import main
from nas.networks import model_folder
from nas.networks.creation import create_model
from nas.networks.model_card import About
from search_spaces.arch import Arch
from search_spaces.blocks import Classifier, ConvBNAct, InvertedResidual

CLASSES, IMAGES = 7, 9  # top-5 is not everything, and the last batch is not whole


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of all proportions, of blotches whose colours depend a little on the class."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for part in ("train", "test"):
        for label in range(CLASSES):
            (folder / part / f"c{label}").mkdir(parents=True)
            for i in range(IMAGES):
                pixels = rng.integers(0, 200, (5, 6, 3)) + 50 * np.array([label & 1, label >> 1 & 1, label >> 2])
                size = tuple(int(side) for side in rng.integers(30, 90, 2))
                image = Image.fromarray(pixels.astype(np.uint8)).resize(size)
                image.save(folder / part / f"c{label}" / f"{i}.jpg", quality=90)
    return folder


def by_timm(folder: Path, images: Path, side: int | None = None) -> dict[str, float]:
    """Top-1, top-5 and loss as timm's validation script takes them."""
    network = create_model(folder).eval()
    config = timm.data.resolve_data_config({} if side is None else {"img_size": side}, model=network)
    loader = timm.data.create_loader(
        timm.data.create_dataset("", str(images / "test")),
        batch_size=16,
        use_prefetcher=False,
        num_workers=0,
        device=torch.device("cpu"),
        **{key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")},
    )
    meters = {name: timm.utils.AverageMeter() for name in ("loss", "top1_percent", "top5_percent")}
    with torch.inference_mode():
        for batch, labels in loader:
            logits = network(batch)
            top1, top5 = timm.utils.accuracy(logits, labels, topk=(1, 5))
            found = (torch.nn.functional.cross_entropy(logits, labels), top1, top5)
            for meter, value in zip(meters.values(), found, strict=True):
                meter.update(float(value), len(batch))
    return {name: meter.avg for name, meter in meters.items()}


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # timm's files
def test_accuracies_at_every_resolution_are_timms(images: Path, tmp_path: Path) -> None:
    blocks = (InvertedResidual(16, 3, 2, 3.0), InvertedResidual(16, 3, 1, 3.0))
    arch = Arch(32, ((ConvBNAct(16, 3, 2),), blocks, (ConvBNAct(32), Classifier(CLASSES))))
    torch.manual_seed(0)
    network = create_model(arch)
    network.classifier.weight.data.mul_(30)  # answers that differ between images
    folder = model_folder.write(tmp_path / "net", network, About(data=imagefolder(str(images), 32)))
    card = ["data=imagefolder", f"data.root={images}", "measure=false", "accelerator=cpu"]
    main([f"arch={folder}", *card, "resolutions=[24,48]", f"run_dir={tmp_path}/run", "batch_size=10"])
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert [other["resolution"] for other in found["at_resolutions"]] == [24, 48]
    expected = [by_timm(folder, images, side) for side in (None, 24, 48)]
    assert len({figures["loss"] for figures in expected}) == 3
    for mine, theirs in zip((found, *found["at_resolutions"]), expected, strict=True):
        assert {name: mine[name] for name in theirs} == pytest.approx(theirs, rel=1e-4)
